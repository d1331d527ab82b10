#include "kernel/proc/user_memory.hpp"

#include <algorithm>

#include "kernel/proc/process.hpp"
#include "kernel/proc/signal.hpp"
#include "kernel/sched/scheduler.hpp"

namespace faultline {

namespace {

// Inline: once a page on the way of every read and write.
inline Result<> copy_in(std::span<std::byte> destination, std::uint64_t source) {
  const std::optional<Va> va = Va::from(source);
  if (!va) return failure(KernelError::BadAddress);
  return Process::current().mm().copy_in(destination, *va);
}

inline Result<> copy_out(std::uint64_t destination, std::span<const std::byte> source) {
  const std::optional<Va> va = Va::from(destination);
  if (!va) return failure(KernelError::BadAddress);
  return Process::current().mm().copy_out(*va, source);
}

}  // namespace

Result<> copy_from_user(std::span<std::byte> destination, std::uint64_t source) {
  return with_relief([&] { return copy_in(destination, source); });
}

Result<> copy_to_user(std::uint64_t destination, std::span<const std::byte> source) {
  return with_relief([&] { return copy_out(destination, source); });
}

Result<> copy_to_user_unrelieved(std::uint64_t destination, std::span<const std::byte> source) {
  return copy_out(destination, source);
}

Result<std::size_t> copy_string_from_user(std::span<char> destination, std::uint64_t source) {
  const std::optional<Va> va = Va::from(source);
  if (!va) return failure(KernelError::BadAddress);
  return with_relief([&] { return Process::current().mm().copy_string_in(destination, *va); });
}

Result<UserString> UserString::path(std::uint64_t address) {
  UserString string;
  Result<std::size_t> length = copy_string_from_user(std::span(string.short_), address);
  if (!length && length.error() == KernelError::NameTooLong) {
    string.long_ = TRY(make_box<Long>());
    length = copy_string_from_user(std::span(string.long_->characters), address);
  }
  string.length_ = TRY(length);
  return string;
}

UserIoBuffer::UserIoBuffer(std::uint64_t base, std::uint64_t length)
    : IoBuffer(std::min(length, kMaxBytes)),
      single_{base, std::min(length, kMaxBytes)},
      vectors_(&single_, 1) {}

UserIoBuffer::UserIoBuffer(std::span<const IoVector> vectors, std::uint64_t total)
    : IoBuffer(total), single_{}, vectors_(vectors) {}

// Cuts `size` bytes at the cursor into pieces that are contiguous for the user: copy(user address, done,
// length).
template <class Copy>
IoBuffer::Copied UserIoBuffer::for_each_piece(std::size_t size, Copy copy) {
  std::size_t done = 0;
  while (done < size) {
    const IoVector& vector = vectors_.front();
    if (offset_ == vector.length) {
      vectors_ = vectors_.subspan(1);
      offset_ = 0;
      continue;
    }
    // A piece ends at a page boundary, so that what was copied before a bad page is counted exactly.
    const std::uint64_t address = vector.base + offset_;
    const std::size_t length = std::min({size - done, static_cast<std::size_t>(vector.length - offset_),
                                         static_cast<std::size_t>(kPageSize - address % kPageSize)});
    if (Result<> result = copy(address, done, length); !result) return {done, result};
    offset_ += length;
    done += length;
    // A long transfer is made of many pieces, of any size; no lock but sleeping ones is held.
    since_preemption_ += length;
    if (since_preemption_ < kPreemptionBytes) continue;
    since_preemption_ = 0;
    scheduler::preemption_point();
    if (signals::current_is_to_leave()) return {done, failure(KernelError::Interrupted)};
  }
  return {done, {}};
}

IoBuffer::Copied UserIoBuffer::copy_to_caller(std::span<const std::byte> bytes) {
  return for_each_piece(bytes.size(), [&](std::uint64_t address, std::size_t done, std::size_t length) {
    return copy_out(address, bytes.subspan(done, length));
  });
}

IoBuffer::Copied UserIoBuffer::copy_from_caller(std::span<std::byte> bytes) {
  return for_each_piece(bytes.size(), [&](std::uint64_t address, std::size_t done, std::size_t length) {
    return copy_in(bytes.subspan(done, length), address);
  });
}

}  // namespace faultline
