#include "kernel/mm/page_cache.hpp"

#include <algorithm>
#include <array>

#include "kernel/mm/statistics.hpp"

namespace faultline {

namespace {

/// Pages that a miss reads when the file is not read in sequence, and the first ones when it is.
constexpr std::uint32_t kSmallestWindow = 4;

constexpr std::uint64_t pages_of(std::uint64_t bytes) {
  return bytes / kPageSize + (bytes % kPageSize != 0 ? 1 : 0);
}

void zero_from(const Frame& frame, std::size_t offset) {
  const std::span<std::byte> rest = frame.bytes().subspan(offset);
  std::fill(rest.begin(), rest.end(), std::byte{0});
}

}  // namespace

PageCache::PageCache(std::uint64_t size) : size_(size) {}

PageCache::~PageCache() { drop_all_pages(); }

// --- Finding and loading ---

Result<Frame> PageCache::page(std::uint64_t index) {
  may_sleep();
  for (;;) {
    if (index >= pages_of(size())) return failure(KernelError::BeyondEndOfFile);
    {
      SpinGuard guard(lock_);
      if (Slot* slot = pages_.find(index)) {
        if ((*slot & kLoading) == 0) {
          *slot |= kReferenced;
          return frame_of(*slot);
        }
        wait_until_settled(guard);
        continue;
      }
    }
    TRY(load_cluster(index));
  }
}

Result<Frame> PageCache::page_for_write(std::uint64_t index, bool overwritten_whole) {
  may_sleep();
  for (;;) {
    if (index < pages_of(size()) && !(overwritten_whole && !is_mapped())) {
      Result<Frame> existing = page(index);
      if (existing || existing.error() != KernelError::BeyondEndOfFile) return existing;
    }
    register_for_reclaim();
    Frame blank = TRY(allocate_or_reclaim(FrameContents::Zeroed));
    SpinGuard guard(lock_);
    if (Slot* slot = pages_.find(index)) {
      if ((*slot & kLoading) == 0) return frame_of(*slot);
      wait_until_settled(guard);
      continue;
    }
    TRY(pages_.insert(index, blank.pa().value() | kReferenced));
    static_cast<void>(blank.share().leak());  // the slot's reference
    return blank;
  }
}

std::size_t PageCache::cached_pages(std::uint64_t first, std::span<Frame> frames) {
  const std::uint64_t end = pages_of(size());
  if (first >= end) return 0;
  const std::size_t wanted = std::min<std::uint64_t>(frames.size(), end - first);
  std::size_t found = 0;
  const SpinGuard guard(lock_);
  for (std::size_t i = 0; i < wanted;) {
    const std::span<const Slot> slots = pages_.words_from(first + i);
    if (slots.empty()) break;
    for (const Slot slot : slots.first(std::min(slots.size(), wanted - i))) {
      if (slot != 0 && (slot & kLoading) == 0) {
        frames[i] = frame_of(slot);
        ++found;
      }
      ++i;
    }
  }
  return found;
}

std::size_t PageCache::choose_window(std::uint64_t index, const SpinGuard&) {
  window_ = index == next_sequential_ && index != 0 ? std::min<std::uint32_t>(window_ * 2, kMaxCluster)
                                                    : kSmallestWindow;
  return std::min<std::uint64_t>(window_, pages_of(size()) - std::min(index, pages_of(size())));
}

Result<> PageCache::load_cluster(std::uint64_t index) {
  register_for_reclaim();
  std::array<Frame, kMaxCluster> frames;
  frames[0] = TRY(allocate_or_reclaim(FrameContents::Any));
  std::size_t count = 0;
  {
    const SpinGuard guard(lock_);
    const std::size_t window = choose_window(index, guard);
    for (; count < window && pages_.find(index + count) == nullptr; ++count) {
      // Only the page that was asked for is worth an error.
      if (count > 0) {
        Result<Frame> more = Frame::allocate(FrameContents::Any);
        if (!more) break;
        frames[count] = std::move(*more);
      }
      const Result<Slot*> inserted = pages_.insert(index + count, frames[count].pa().value() | kLoading);
      if (!inserted) {
        if (count == 0) return failure(inserted.error());
        break;
      }
      static_cast<void>(frames[count].share().leak());
    }
    if (count == 0)
      return {};  // another thread is loading it, or the file became shorter: the caller looks again
    next_sequential_ = index + count;
  }
  return read_cluster(index, std::span(frames).first(count));
}

Result<> PageCache::read_cluster(std::uint64_t first, std::span<Frame> frames) {
  std::array<Pa, kMaxCluster> addresses = [&]<std::size_t... I>(std::index_sequence<I...>) {
    return std::array<Pa, kMaxCluster>{(I < frames.size() ? frames[I].pa() : frames[0].pa())...};
  }(std::make_index_sequence<kMaxCluster>());
  const std::span<const Pa> all = std::span(addresses).first(frames.size());
  std::size_t good = all.size();
  Result<> result = read_pages(first, all);
  if (!result) {
    // A page read ahead may be the one that cannot be read: the one that was asked for gets its own chance.
    good = 0;
    if (all.size() > 1) result = read_pages(first, all.first(1));
    if (result) good = 1;
  }
  count(Counter::PageCacheRead, good);
  const std::uint64_t end = size();
  if (good > 0 && end / kPageSize >= first && end / kPageSize < first + good) {
    zero_from(frames[end / kPageSize - first], end % kPageSize);
  }
  {
    const SpinGuard guard(lock_);
    for (std::size_t i = 0; i < frames.size(); ++i) {
      if (i < good) {
        *pages_.find(first + i) &= ~kLoading;
      } else {
        drop(first + i, guard);
      }
    }
  }
  settle();
  return result;
}

void PageCache::drop(std::uint64_t index, const SpinGuard&) {
  const Slot slot = pages_.remove(index);
  if ((slot & kDirty) != 0) --dirty_;
  const Frame last_use = Frame::adopt(Pa::checked(slot & ~kFlags));
}

void PageCache::wait_until_settled(SpinGuard& guard) {
  const std::uint32_t seen = settled_.load(std::memory_order_acquire);
  guard.release();
  platform::wait_while_equal(settled_, seen);
}

void PageCache::settle() {
  settled_.fetch_add(1, std::memory_order_acq_rel);
  platform::wake_waiters(settled_);
}

// --- Writing back ---

void PageCache::set_dirty(Slot& slot, const SpinGuard&) {
  if ((slot & kDirty) == 0) ++dirty_;
  slot |= kDirty;
}

void PageCache::mark_dirty(std::uint64_t index) {
  const SpinGuard guard(lock_);
  // A page that truncation has dropped meanwhile has nowhere to go.
  if (Slot* slot = pages_.find(index)) set_dirty(*slot, guard);
}

/// Consecutive dirty pages on their way to the device.
struct PageCache::DirtyRun {
  std::uint64_t first = 0;
  std::size_t count = 0;
  std::array<std::uint64_t, kMaxCluster> frames;
};

PageCache::DirtyRun PageCache::take_dirty_run(std::uint64_t first, std::uint64_t last, Pages which) {
  const auto wanted = [&](Slot slot) {
    return (slot & kDirty) != 0 && (which == Pages::All || is_unused(slot));
  };
  for (;;) {
    SpinGuard guard(lock_);
    DirtyRun run;
    std::optional<RadixTree::Item> item;
    if (dirty_ > 0) item = pages_.first_from(first);
    while (item && item->index < last && !wanted(*item->word)) item = pages_.first_from(item->index + 1);
    if (!item || item->index >= last) return run;
    if ((*item->word & kWriting) != 0) {
      wait_until_settled(guard);
      continue;
    }
    run.first = item->index;
    for (Slot* slot = item->word; run.count < kMaxCluster && run.first + run.count < last;) {
      if (!wanted(*slot) || (*slot & (kWriting | kLoading)) != 0) break;
      // Clean before the device reads it: what is written meanwhile makes it dirty again.
      *slot = (*slot & ~kDirty) | kWriting;
      --dirty_;
      run.frames[run.count++] = *slot & ~kFlags;
      slot = pages_.find(run.first + run.count);
      if (slot == nullptr) break;
    }
    return run;
  }
}

void PageCache::finish_dirty_run(const DirtyRun& run, bool written) {
  {
    const SpinGuard guard(lock_);
    for (std::size_t i = 0; i < run.count; ++i) {
      Slot& slot = *pages_.find(run.first + i);  // a page being written is never dropped
      slot &= ~kWriting;
      if (!written) set_dirty(slot, guard);
    }
  }
  settle();
}

Result<> PageCache::write_back(std::uint64_t first, std::uint64_t last) {
  collect_dirty(first, last);
  return write_dirty(first, last, Pages::All);
}

Result<> PageCache::write_dirty(std::uint64_t first, std::uint64_t last, Pages which) {
  Result<> result;
  while (first < last) {
    const DirtyRun run = take_dirty_run(first, last, which);
    if (run.count == 0) break;
    std::array<Pa, kMaxCluster> frames = [&]<std::size_t... I>(std::index_sequence<I...>) {
      return std::array<Pa, kMaxCluster>{Pa::checked(run.frames[I < run.count ? I : 0])...};
    }(std::make_index_sequence<kMaxCluster>());
    const Result<> written = write_pages(run.first, std::span(frames).first(run.count));
    finish_dirty_run(run, written.has_value());
    count(Counter::PageCacheWrite, run.count);
    // The other pages still get their chance.
    if (!written && result) result = written;
    first = run.first + run.count;
  }
  return result;
}

bool PageCache::has_dirty_pages() const {
  if (is_mapped_shared()) return true;
  const SpinGuard guard(lock_);
  return dirty_ > 0;
}

// --- Changing the size ---

void PageCache::grow(std::uint64_t size) {
  std::uint64_t seen = size_.load(std::memory_order_relaxed);
  while (seen < size && !size_.compare_exchange_weak(seen, size, std::memory_order_acq_rel)) {
  }
}

void PageCache::zero_tail_in_memory() {
  const std::uint64_t end = size();
  if (end % kPageSize == 0) return;
  SpinGuard guard(lock_);
  const Slot* slot = pages_.find(end / kPageSize);
  if (slot == nullptr || (*slot & kLoading) != 0) return;
  const Frame last = frame_of(*slot);
  guard.release();
  zero_from(last, end % kPageSize);
}

Result<> PageCache::truncate_pages(std::uint64_t size) {
  if (size >= this->size()) {
    zero_tail_in_memory();
    grow(size);
    return {};
  }
  Frame last;
  if (size % kPageSize != 0) last = TRY(page(size / kPageSize));
  size_.store(size, std::memory_order_release);
  truncations_.fetch_add(1, std::memory_order_acq_rel);
  unmap_beyond(size);
  for (;;) {
    SpinGuard guard(lock_);
    std::uint64_t from = pages_of(size);
    bool settled = true;
    while (const std::optional<RadixTree::Item> item = pages_.first_from(from)) {
      if ((*item->word & (kLoading | kWriting)) != 0) {
        settled = false;
        break;
      }
      drop(item->index, guard);
      from = item->index;
    }
    if (settled) break;
    wait_until_settled(guard);
  }
  if (last) {
    zero_from(last, size % kPageSize);
    mark_dirty(size / kPageSize);
  }
  return {};
}

void PageCache::drop_all_pages() {
  unregister_from_reclaim();
  const SpinGuard guard(lock_);
  while (const std::optional<RadixTree::Item> item = pages_.first_from(0)) drop(item->index, guard);
}

std::size_t PageCache::cached_page_count() const {
  const SpinGuard guard(lock_);
  return pages_.count();
}

// --- A file without a name ---

Result<> AnonymousFile::read_pages(std::uint64_t, std::span<const Pa> frames) {
  for (const Pa frame : frames) PageRef::from_pa(frame).zero();
  return {};
}

Result<> AnonymousFile::write_pages(std::uint64_t, std::span<const Pa>) { return {}; }

}  // namespace faultline
