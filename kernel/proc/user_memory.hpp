#pragma once
// Values and buffers in the memory of the current process. Everything goes through its pager, so a page that
// was never touched works, and a bad address is an error.

#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "kernel/fs/io_buffer.hpp"
#include "kernel/lib/heap.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/mm/address.hpp"

namespace faultline {

/// Copies between the kernel and the current process. Errors: BadAddress, also when only a part is bad;
/// OutOfMemory. The caller holds no lock that relieve_memory() takes.
Result<> copy_from_user(std::span<std::byte> destination, std::uint64_t source);
Result<> copy_to_user(std::uint64_t destination, std::span<const std::byte> source);
/// For who holds one.
Result<> copy_to_user_unrelieved(std::uint64_t destination, std::span<const std::byte> source);

/// Copies a string with its zero byte; returns its length. NameTooLong: no zero byte within the destination.
Result<std::size_t> copy_string_from_user(std::span<char> destination, std::uint64_t source);

/// An address that the user passed for a T: nothing is known of it until it is read or written.
template <class T>
class UserPointer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  constexpr UserPointer() = default;
  explicit constexpr UserPointer(std::uint64_t address) : address_(address) {}

  constexpr std::uint64_t address() const { return address_; }
  constexpr bool null() const { return address_ == 0; }
  constexpr UserPointer operator+(std::uint64_t elements) const {
    return UserPointer(address_ + elements * sizeof(T));
  }

  [[nodiscard]] Result<T> read() const {
    T value;
    TRY(copy_from_user(std::as_writable_bytes(std::span(&value, 1)), address_));
    return value;
  }
  [[nodiscard]] Result<> write(const T& value) const {
    return copy_to_user(address_, std::as_bytes(std::span(&value, 1)));
  }

 private:
  std::uint64_t address_ = 0;
};

/// A string that has been copied in: short ones stand in the object, long ones on the heap.
class UserString {
 public:
  /// Errors: BadAddress; NameTooLong when no zero byte stands within kMaxPathLength bytes; OutOfMemory.
  static Result<UserString> path(std::uint64_t address);

  std::string_view view() const { return {long_ ? long_->characters : short_, length_}; }

 private:
  static constexpr std::size_t kShort = 128;
  struct Long {
    char characters[4096];
  };
  UserString() = default;

  Box<Long> long_;
  std::size_t length_ = 0;
  char short_[kShort];
};

/// Linux's struct iovec.
struct IoVector {
  std::uint64_t base;
  std::uint64_t length;
};

/// The memory of a read or write in the current process: one range or several.
class UserIoBuffer final : public IoBuffer {
 public:
  /// Most bytes one call transfers (Linux's MAX_RW_COUNT).
  static constexpr std::uint64_t kMaxBytes = 0x7fff'f000;

  /// One range; longer ones are cut to kMaxBytes. `single` is overwritten.
  UserIoBuffer(std::uint64_t base, std::uint64_t length);
  /// Several ranges, which are borrowed. `total` is the sum of their lengths, at most kMaxBytes.
  UserIoBuffer(std::span<const IoVector> vectors, std::uint64_t total);

 private:
  Copied copy_to_caller(std::span<const std::byte> bytes) override;
  Copied copy_from_caller(std::span<std::byte> bytes) override;
  template <class Copy>
  Copied for_each_piece(std::size_t size, Copy copy);

  IoVector single_;
  std::span<const IoVector> vectors_;
  static constexpr std::size_t kPreemptionBytes = 4 * kPageSize;

  std::uint64_t offset_ = 0;          // within the first vector
  std::size_t since_preemption_ = 0;  // bytes copied since others last had the chance to run
};

}  // namespace faultline
