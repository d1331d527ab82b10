#pragma once
// Disks: requests of whole sectors, several of them in flight.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/lib/list.hpp"
#include "kernel/lib/result.hpp"

namespace faultline {

inline constexpr std::size_t kSectorSize = 512;

/// One transfer. Belongs to the caller and must stay where it is, with its memory, until wait() has returned.
///
///     BlockRequest request(BlockRequest::Kind::Read, sector, pieces);
///     device.submit(request);
///     ... submit others ...
///     TRY(device.wait(request));
class BlockRequest : public ListNode<> {
 public:
  enum class Kind : std::uint8_t { Read, Write, Flush };
  using Piece = std::span<std::byte>;
  static constexpr std::size_t kMaxPieces = 32;

  /// `sector` counts 512-byte sectors. The pieces are transferred one after another; each is a multiple of
  /// kSectorSize and lies in the kernel's direct map of physical memory (page frames and heap do, stacks do
  /// not). Flush takes no pieces. The array of pieces must live as long as the request.
  BlockRequest(Kind kind, std::uint64_t sector, std::span<const Piece> pieces)
      : kind_(kind), sector_(sector), pieces_(pieces) {}
  ~BlockRequest() { ASSERT(done() || !submitted_); }

  Kind kind() const { return kind_; }
  std::uint64_t sector() const { return sector_; }
  std::span<const Piece> pieces() const { return pieces_; }
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Piece& piece : pieces_) sum += piece.size();
    return sum;
  }

  bool done() const { return state_.load(std::memory_order_acquire) == kDone; }

  /// For the device: the request has been accepted, and later: it is over. After complete() the request may
  /// be gone.
  void accept() {
    ASSERT(!submitted_);
    submitted_ = true;
    in_flight_.fetch_add(1, std::memory_order_relaxed);
  }
  void complete(Result<> result);
  /// For the device: keeps the outcome until it calls complete(result()).
  void set_result(Result<> result) { result_ = result; }

  /// For the device: what to sleep on while the request is not done.
  const std::atomic<std::uint32_t>& state() const { return state_; }
  Result<> result() const { return result_; }

  /// True while some device owes an answer.
  static bool any_in_flight() { return in_flight_.load(std::memory_order_relaxed) != 0; }
  static constexpr std::uint32_t kPending = 0, kDone = 1;

 private:
  inline static std::atomic<std::uint32_t> in_flight_ = 0;

  Kind kind_;
  bool submitted_ = false;
  std::atomic<std::uint32_t> state_ = kPending;
  std::uint64_t sector_;
  std::span<const Piece> pieces_;
  Result<> result_;
};

class BlockDevice {
 public:
  virtual ~BlockDevice() = default;

  /// Capacity in sectors of kSectorSize bytes.
  virtual std::uint64_t sectors() const = 0;
  /// The smallest transfer, a power of two from kSectorSize on: requests begin and end at its multiples.
  virtual std::size_t block_bytes() const { return kSectorSize; }
  virtual bool read_only() const = 0;
  /// Short name, as in /proc/mounts: "vda".
  virtual const char* name() const = 0;

  /// Starts a transfer; may sleep until the device has room. All errors come from wait(): InvalidArgument for
  /// a malformed request, OutOfRange beyond the capacity, ReadOnlyFileSystem, InputOutput.
  virtual void submit(BlockRequest& request) = 0;

  /// Sleeps until the request is done and returns its outcome.
  virtual Result<> wait(BlockRequest& request) = 0;

  /// One transfer, start to end, of any sectors: those that are part of a larger block are read with it, and
  /// written back with it. Error beside those of wait(): OutOfMemory.
  [[nodiscard]] Result<> read(std::uint64_t sector, std::span<std::byte> bytes);
  [[nodiscard]] Result<> write(std::uint64_t sector, std::span<const std::byte> bytes);
  /// Returns when everything written before is on stable storage, as far as the device can tell.
  [[nodiscard]] Result<> flush();

 protected:
  /// What every device checks before it accepts a request.
  Result<> validate(const BlockRequest& request) const;

 private:
  struct Covering;
  Result<Covering> read_covering(std::uint64_t sector, std::size_t bytes);
  Result<> transfer(BlockRequest::Kind kind, std::uint64_t sector, std::span<std::byte> bytes);
  bool is_whole_blocks(std::uint64_t sector, std::size_t bytes) const {
    return sector % (block_bytes() / kSectorSize) == 0 && bytes % block_bytes() == 0;
  }
};

}  // namespace faultline
