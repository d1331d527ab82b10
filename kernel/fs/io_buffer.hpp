#pragma once
// The memory at the other end of a read or write: a user's, reached through its pager, or the kernel's own.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "kernel/fs/memory_relief.hpp"
#include "kernel/lib/result.hpp"

namespace faultline {

/// A cursor over the caller's memory. Files put bytes into it (read) or get bytes from it (write). Both may
/// fault pages in, and make memory free for them, so they may sleep: a file never calls them while it holds a
/// lock that loading one of its own pages needs, or one that relieve_memory() takes.
class IoBuffer {
 public:
  IoBuffer(const IoBuffer&) = delete;
  IoBuffer& operator=(const IoBuffer&) = delete;

  /// Bytes of the caller's request that have not been transferred.
  std::size_t remaining() const { return remaining_; }
  /// Bytes transferred since the buffer was made.
  std::size_t transferred() const { return transferred_; }

  /// No byte goes to this offset of a regular file or beyond (RLIMIT_FSIZE).
  std::uint64_t file_size_limit() const { return file_size_limit_; }
  void set_file_size_limit(std::uint64_t limit) { file_size_limit_ = limit; }

  /// File to caller: copies min(bytes.size(), remaining()). On an error (BadAddress, OutOfMemory) what was
  /// copied before the page that is not to be had has been counted.
  [[nodiscard]] Result<> put(std::span<const std::byte> bytes) {
    const std::size_t before = transferred_;
    return with_relief([&] {
      const auto rest = bytes.subspan(transferred_ - before);
      return advance(copy_to_caller(rest.first(std::min(rest.size(), remaining_))));
    });
  }

  /// Caller to file: fills min(bytes.size(), remaining()) bytes. Errors as put.
  [[nodiscard]] Result<> get(std::span<std::byte> bytes) {
    const std::size_t before = transferred_;
    return with_relief([&] { return get_unrelieved(bytes.subspan(transferred_ - before)); });
  }
  /// The same where no memory can be made free: the caller does that and goes on from transferred().
  [[nodiscard]] Result<> get_unrelieved(std::span<std::byte> bytes) {
    return advance(copy_from_caller(bytes.first(std::min(bytes.size(), remaining_))));
  }

  /// What a read or write returns after its last step ended with `result`: the bytes moved since `before`
  /// (transferred() at its start), and the error only if there are none.
  [[nodiscard]] Result<std::size_t> outcome(std::size_t before, Result<> result) const {
    if (!result && transferred_ == before) return failure(result.error());
    return transferred_ - before;
  }

 protected:
  struct Copied {
    std::size_t bytes;
    Result<> result;  // an error when fewer than asked were copied
  };
  explicit IoBuffer(std::size_t size) : remaining_(size) {}
  ~IoBuffer() = default;

 private:
  /// Copy at the cursor; `bytes` is no longer than what remains. The base advances by what they report.
  virtual Copied copy_to_caller(std::span<const std::byte> bytes) = 0;
  virtual Copied copy_from_caller(std::span<std::byte> bytes) = 0;

  Result<> advance(Copied copied) {
    remaining_ -= copied.bytes;
    transferred_ += copied.bytes;
    return copied.result;
  }

  std::size_t remaining_;
  std::size_t transferred_ = 0;
  std::uint64_t file_size_limit_ = UINT64_MAX;
};

/// Memory of the kernel itself: never faults, never fails.
class KernelIoBuffer final : public IoBuffer {
 public:
  /// For reading from a file.
  explicit KernelIoBuffer(std::span<std::byte> memory) : IoBuffer(memory.size()), memory_(memory.data()) {}
  /// For writing to a file.
  explicit KernelIoBuffer(std::span<const std::byte> memory)
      : IoBuffer(memory.size()), memory_(const_cast<std::byte*>(memory.data())) {}

 private:
  Copied copy_to_caller(std::span<const std::byte> bytes) override {
    std::memcpy(memory_ + transferred(), bytes.data(), bytes.size());
    return {bytes.size(), {}};
  }
  Copied copy_from_caller(std::span<std::byte> bytes) override {
    std::memcpy(bytes.data(), memory_ + transferred(), bytes.size());
    return {bytes.size(), {}};
  }

  std::byte* memory_;
};

}  // namespace faultline
