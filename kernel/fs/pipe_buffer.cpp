#include "kernel/fs/pipe_buffer.hpp"

#include "kernel/mm/page_cache.hpp"

namespace faultline {

static_assert(kPageSize <= UINT16_MAX);

Result<> PipeBuffer::set_capacity(std::size_t bytes) {
  const std::size_t count = bytes / kPageSize;
  if (count < used_) return failure(KernelError::Busy);
  Vector<Slot> slots;
  TRY(slots.resize(count));
  for (std::size_t i = 0; i < used_; ++i) slots[i] = std::move(slot(i));
  slots_ = std::move(slots);
  first_ = 0;
  return {};
}

std::size_t PipeBuffer::size() const {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < used_; ++i) bytes += slot(i).size();
  return bytes;
}

bool PipeBuffer::has_room(std::size_t bytes, Write write) const {
  return used_ < slots_.size() || (write == Write::Bytes && room_in_last() >= bytes);
}

Result<> PipeBuffer::begin_slot(Write write) {
  Slot& next = slot(used_);
  if (spare_) {
    next.page = std::move(spare_);
  } else {
    next.page = TRY(with_relief([] { return allocate_or_reclaim(FrameContents::Any); }));
  }
  next.start = next.end = 0;
  next.kind = write;
  ++used_;
  return {};
}

void PipeBuffer::release_first() {
  spare_ = std::move(slot(0).page);
  --used_;
  // An empty pipe uses the same slot again.
  if (used_ != 0) first_ = (first_ + 1) % slots_.size();
}

Result<> PipeBuffer::fill(IoBuffer& source, Write write) {
  while (source.remaining() > 0) {
    if (write == Write::Packets || room_in_last() == 0) {
      if (used_ == slots_.size()) return {};
      TRY(begin_slot(write));
    }
    Slot& last = slot(used_ - 1);
    const std::size_t before = source.transferred();
    const Result<> copied = source.get(last.page.bytes().subspan(last.end));
    last.end = static_cast<std::uint16_t>(last.end + source.transferred() - before);
    // A bad address may have left a page with nothing in it, which would be read as the end of the file.
    if (last.size() == 0) spare_ = std::move(slot(--used_).page);
    TRY(copied);
  }
  return {};
}

Result<> PipeBuffer::drain(IoBuffer& target) {
  while (target.remaining() > 0 && used_ > 0) {
    Slot& first = slot(0);
    const bool packet = first.kind == Write::Packets;
    const std::size_t before = target.transferred();
    const Result<> copied = target.put(first.page.bytes().subspan(first.start, first.size()));
    first.start = static_cast<std::uint16_t>(first.start + target.transferred() - before);
    if (first.size() == 0 || (packet && copied)) release_first();
    TRY(copied);
    if (packet) break;
  }
  return {};
}

}  // namespace faultline
