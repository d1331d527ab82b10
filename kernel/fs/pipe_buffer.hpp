#pragma once
// The bytes in a pipe: a ring of pages that exist only while they hold something.

#include <algorithm>
#include <array>
#include <cstdint>

#include "kernel/fs/io_buffer.hpp"
#include "kernel/fs/pipe.hpp"
#include "kernel/mm/frame.hpp"

namespace faultline {

/// Not locked: its pipe's mutex covers it, over the copying too.
class PipeBuffer {
 public:
  std::size_t size() const { return end_ - start_; }
  std::size_t room() const { return kPipeCapacity - size(); }

  std::size_t frames() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(pages_, [](const Frame& page) { return bool(page); }));
  }

  /// Moves bytes from the caller until there is no more room or no more bytes. Errors: BadAddress,
  /// OutOfMemory; what was moved before stays.
  Result<> fill(IoBuffer& source);
  /// Moves bytes to the caller until the pipe is empty or the caller has enough.
  Result<> drain(IoBuffer& target);

 private:
  static constexpr std::size_t kPages = kPipeCapacity / kPageSize;
  Frame& page_at(std::uint64_t position) { return pages_[position / kPageSize % kPages]; }
  Result<> ensure_page(std::uint64_t position);
  void release_before_start(std::uint64_t old_start);

  std::uint64_t start_ = 0, end_ = 0;  // positions in the stream of bytes
  std::array<Frame, kPages> pages_;
  Frame spare_;  // the page emptied last: a pipe in steady use allocates nothing
};

}  // namespace faultline
