#include "kernel/fs/pipe_buffer.hpp"

#include <algorithm>

#include "kernel/mm/page_cache.hpp"

namespace faultline {

Result<> PipeBuffer::ensure_page(std::uint64_t position) {
  Frame& page = page_at(position);
  if (page) return {};
  if (spare_) {
    page = std::move(spare_);
  } else {
    page = TRY(with_relief([] { return allocate_or_reclaim(FrameContents::Any); }));
  }
  return {};
}

Result<> PipeBuffer::fill(IoBuffer& source) {
  while (source.remaining() > 0 && room() > 0) {
    TRY(ensure_page(end_));
    const std::size_t in_page = end_ % kPageSize;
    const std::size_t count = std::min(kPageSize - in_page, room());
    const std::size_t before = source.transferred();
    const Result<> copied = source.get(page_at(end_).bytes().subspan(in_page, count));
    end_ += source.transferred() - before;
    TRY(copied);
  }
  return {};
}

Result<> PipeBuffer::drain(IoBuffer& target) {
  Result<> outcome;
  while (outcome && target.remaining() > 0 && size() > 0) {
    const std::size_t in_page = start_ % kPageSize;
    const std::size_t count = std::min(kPageSize - in_page, size());
    const std::size_t before = target.transferred();
    outcome = target.put(page_at(start_).bytes().subspan(in_page, count));
    const std::uint64_t old_start = start_;
    start_ += target.transferred() - before;
    release_before_start(old_start);
  }
  return outcome;
}

void PipeBuffer::release_before_start(std::uint64_t old_start) {
  const bool page_done = start_ / kPageSize != old_start / kPageSize;
  if (!page_done && size() != 0) return;
  // When the pipe is full, or nearly, the newest bytes stand in front of the oldest in the same page.
  if (size() != 0 && (end_ - 1) / kPageSize - old_start / kPageSize >= kPages) return;
  spare_ = std::move(page_at(old_start));
  // An empty pipe begins again at the start of its one page.
  if (size() == 0) start_ = end_ = 0;
}

}  // namespace faultline
