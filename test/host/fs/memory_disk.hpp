#pragma once
// A disk in host memory that can refuse.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "kernel/dev/block_device.hpp"

namespace faultline::sim {

/// Requests are carried out only when somebody waits for one of them, and the latest first: a device may take
/// its time and choose the order. Whoever looks at the memory of a read before it has waited for it finds
/// junk.
class MemoryDisk final : public BlockDevice {
 public:
  explicit MemoryDisk(std::vector<std::byte> contents) : bytes(std::move(contents)) {}

  std::uint64_t sectors() const override { return bytes.size() / kSectorSize; }
  bool read_only() const override { return write_protected; }
  const char* name() const override { return "disk"; }

  void submit(BlockRequest& request) override {
    request.accept();
    if (const Result<> valid = validate(request); !valid) {
      ++malformed;
      return request.complete(valid);
    }
    if (request.kind() == BlockRequest::Kind::Flush) {
      ++flushes;
      if (recording) history.push_back({});
      return request.complete({});
    }
    ++requests;
    if (request.kind() == BlockRequest::Kind::Read) {
      for (const BlockRequest::Piece& piece : request.pieces())
        std::memset(piece.data(), kJunk, piece.size());
    }
    in_flight_.push_back(&request);
  }

  Result<> wait(BlockRequest& request) override {
    while (!request.done()) {
      BlockRequest& latest = *in_flight_.back();
      in_flight_.pop_back();
      latest.complete(transfer(latest));
    }
    return request.result();
  }

  /// One write, or a flush, which has no bytes.
  struct Event {
    std::uint64_t sector = 0;
    std::vector<std::byte> bytes;
    bool is_flush() const { return bytes.empty(); }
  };

  std::vector<std::byte> bytes;
  bool recording = false;
  std::vector<Event> history;  // while recording, in the order in which the disk got them
  bool write_protected = false;
  std::uint64_t requests = 0, flushes = 0, malformed = 0;
  /// Asked for each transfer: true makes it fail.
  std::function<bool(const BlockRequest&)> fails;

 private:
  static constexpr int kJunk = 0xdb;

  Result<> transfer(const BlockRequest& request) {
    if (fails && fails(request)) return failure(KernelError::InputOutput);
    if (recording && request.kind() == BlockRequest::Kind::Write) record(request);
    std::byte* place = bytes.data() + request.sector() * kSectorSize;
    for (const BlockRequest::Piece& piece : request.pieces()) {
      if (request.kind() == BlockRequest::Kind::Read) {
        std::memcpy(piece.data(), place, piece.size());
      } else {
        std::memcpy(place, piece.data(), piece.size());
      }
      place += piece.size();
    }
    return {};
  }

  void record(const BlockRequest& request) {
    Event event{request.sector(), {}};
    for (const BlockRequest::Piece& piece : request.pieces())
      event.bytes.insert(event.bytes.end(), piece.begin(), piece.end());
    history.push_back(std::move(event));
  }

  std::vector<BlockRequest*> in_flight_;
};

}  // namespace faultline::sim
