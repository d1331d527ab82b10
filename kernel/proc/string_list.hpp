#pragma once
// The argument and environment strings of a program on their way from one address space to the next.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernel/lib/heap.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/lib/vector.hpp"
#include "kernel/proc/system_pager.hpp"

namespace faultline {

/// Strings one behind the other, each with its terminating zero, in chunks of kernel memory.
class StringList {
 public:
  /// Longest single string, with its zero (Linux's MAX_ARG_STRLEN).
  static constexpr std::size_t kMaxStringBytes = 32 * kPageSize;
  /// Most bytes of all strings and of the pointers to them (Linux: a quarter of the stack).
  static constexpr std::size_t kMaxBytes = kUserStackBytes / 4;

  /// Errors: ArgumentsTooLong, OutOfMemory, and BadAddress from add_user.
  [[nodiscard]] Result<> add(std::string_view string);
  [[nodiscard]] Result<> add_user(std::uint64_t address);
  /// Adds the strings of a null-terminated array of pointers in user memory, but for the first `skip`. A null
  /// array is an empty one.
  [[nodiscard]] Result<> add_user_array(std::uint64_t array, std::size_t skip);

  std::size_t count() const { return count_; }
  std::size_t bytes() const { return bytes_; }

  /// Copies all bytes to `to` in another address space.
  [[nodiscard]] Result<> copy_out(SystemMm& mm, Va to) const;

  /// Calls f(offset of the string) for each string; f returns a Result<>.
  template <class F>
  [[nodiscard]] Result<> for_each_offset(F&& f) const {
    bool at_start = true;
    for (std::size_t offset = 0; offset < bytes_; ++offset) {
      if (at_start) TRY(f(offset));
      at_start = chunks_[offset / kChunk]->characters[offset % kChunk] == '\0';
    }
    return {};
  }

 private:
  static constexpr std::size_t kChunk = 2048;
  struct Chunk {
    char characters[kChunk];
  };

  /// Room behind the last byte, at most `wanted` bytes of it.
  Result<std::span<char>> room(std::size_t wanted);
  Result<> count_string();

  Vector<Box<Chunk>> chunks_;
  std::size_t bytes_ = 0;
  std::size_t count_ = 0;
};

}  // namespace faultline
