#pragma once
// The bytes in a pipe: a ring of slots, each of which holds a page while there is something in it. Bytes are
// added to the page added last, a packet begins its own.

#include <cstdint>

#include "kernel/fs/io_buffer.hpp"
#include "kernel/lib/vector.hpp"
#include "kernel/mm/frame.hpp"

namespace faultline {

/// Not locked: its pipe's mutex covers it, over the copying too.
class PipeBuffer {
 public:
  /// Whether a writer's bytes join what was written before, or are read by themselves.
  enum class Write : bool { Bytes, Packets };

  /// Makes room for `bytes`, whole pages. Errors: Busy, when more pages are in use; OutOfMemory.
  [[nodiscard]] Result<> set_capacity(std::size_t bytes);
  std::size_t capacity() const { return slots_.size() * kPageSize; }

  bool empty() const { return used_ == 0; }
  std::size_t size() const;
  /// True when `bytes`, at most a page, go in at once.
  bool has_room(std::size_t bytes, Write write) const;
  std::size_t frames() const { return used_ + (spare_ ? 1 : 0); }

  /// Moves bytes from the caller until there is no more room or no more bytes. Errors: BadAddress,
  /// OutOfMemory; what was moved before stays.
  Result<> fill(IoBuffer& source, Write write);
  /// Moves bytes to the caller until the pipe is empty or the caller has enough, or a packet has ended. What
  /// a packet has beyond what the caller wants is lost.
  Result<> drain(IoBuffer& target);

 private:
  struct Slot {
    Frame page;
    std::uint16_t start = 0, end = 0;  // of what has been written and not read; end may be a whole page
    Write kind = Write::Bytes;

    std::size_t size() const { return end - start; }
    std::size_t room() const { return kind == Write::Bytes ? kPageSize - end : 0; }
  };
  Slot& slot(std::size_t index) { return slots_[(first_ + index) % slots_.size()]; }
  const Slot& slot(std::size_t index) const { return slots_[(first_ + index) % slots_.size()]; }
  std::size_t room_in_last() const { return empty() ? 0 : slot(used_ - 1).room(); }
  Result<> begin_slot(Write write);
  void release_first();

  Vector<Slot> slots_;
  std::size_t first_ = 0, used_ = 0;
  Frame spare_;  // the page emptied last: a pipe in steady use allocates nothing
};

}  // namespace faultline
