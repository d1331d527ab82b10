#include "kernel/proc/string_list.hpp"

#include <algorithm>
#include <cstring>

#include "kernel/proc/process.hpp"
#include "kernel/proc/user_memory.hpp"

namespace faultline {

Result<std::span<char>> StringList::room(std::size_t wanted) {
  if (bytes_ >= kMaxBytes) return failure(KernelError::ArgumentsTooLong);
  if (bytes_ == chunks_.size() * kChunk) TRY(chunks_.push_back(TRY(make_box<Chunk>())));
  const std::size_t offset = bytes_ % kChunk;
  return std::span(chunks_.back()->characters).subspan(offset, std::min(wanted, kChunk - offset));
}

Result<> StringList::count_string() {
  ++count_;
  if (bytes_ + count_ * sizeof(std::uint64_t) > kMaxBytes) return failure(KernelError::ArgumentsTooLong);
  return {};
}

Result<> StringList::add(std::string_view string) {
  while (!string.empty()) {
    const std::span<char> part = TRY(room(string.size()));
    std::memcpy(part.data(), string.data(), part.size());
    bytes_ += part.size();
    string.remove_prefix(part.size());
  }
  TRY(room(1)).front() = '\0';
  ++bytes_;
  return count_string();
}

Result<> StringList::add_user(std::uint64_t address) {
  for (std::size_t length = 0; length < kMaxStringBytes;) {
    const std::span<char> part = TRY(room(kChunk));
    const Result<std::size_t> copied = copy_string_from_user(part, address + length);
    if (copied) {
      bytes_ += *copied + 1;
      return count_string();
    }
    if (copied.error() != KernelError::NameTooLong) return failure(copied.error());
    bytes_ += part.size();
    length += part.size();
  }
  return failure(KernelError::ArgumentsTooLong);
}

Result<> StringList::add_user_array(std::uint64_t array, std::size_t skip) {
  if (array == 0) return {};
  for (std::size_t i = 0;; ++i) {
    const std::uint64_t string = TRY(UserPointer<std::uint64_t>(array + i * sizeof(std::uint64_t)).read());
    if (string == 0) return {};
    if (i >= skip) TRY(add_user(string));
  }
}

Result<> StringList::copy_out(SystemMm& mm, Va to) const {
  for (std::size_t done = 0; done < bytes_; done += kChunk) {
    const std::span<const char> part(chunks_[done / kChunk]->characters, std::min(kChunk, bytes_ - done));
    TRY(mm.copy_out(to + done, std::as_bytes(part)));
  }
  return {};
}

}  // namespace faultline
