// The page cache under memory pressure: which caches there are, and dropping pages that can be read again.

#include "kernel/mm/page_cache.hpp"
#include "kernel/mm/statistics.hpp"

namespace faultline {

namespace {
/// Every cache that may have pages. The lock is held while a cache is searched, so that the cache cannot go
/// meanwhile.
constinit SpinLock caches_lock{LockRank::FileMappings};
/// Made when first asked for, and never destroyed: there is no end of the kernel at which it could be.
List<PageCache, PageCacheTag>& caches() {
  alignas(List<PageCache, PageCacheTag>) static constinit std::byte
      storage[sizeof(List<PageCache, PageCacheTag>)]{};
  static constinit List<PageCache, PageCacheTag>* list = nullptr;
  if (list == nullptr) list = ::new (storage) List<PageCache, PageCacheTag>();
  return *list;
}

/// Pages dropped when a frame is needed: more than one, so that the next few need no search.
constexpr std::size_t kReclaimBatch = 32;
}  // namespace

void PageCache::register_for_reclaim() {
  if (registered_.load(std::memory_order_acquire) != 0) return;
  const SpinGuard guard(caches_lock);
  if (registered_.exchange(1, std::memory_order_acq_rel) == 0) caches().push_back(*this);
}

void PageCache::unregister_from_reclaim() {
  if (registered_.load(std::memory_order_acquire) == 0) return;
  const SpinGuard guard(caches_lock);
  if (registered_.exchange(0, std::memory_order_acq_rel) != 0) ListNode<PageCacheTag>::unlink();
}

std::size_t PageCache::reclaim_some(std::size_t count) {
  if (!reclaimable()) return 0;
  const SpinGuard guard(lock_);
  std::size_t dropped = 0;
  // Twice around: the first visit of a page that was used since the last one only takes its mark away.
  for (std::size_t visits = 2 * pages_.count(); visits > 0 && dropped < count; --visits) {
    std::optional<RadixTree::Item> item = pages_.first_from(reclaim_cursor_);
    if (!item) item = pages_.first_from(0);
    if (!item) break;
    reclaim_cursor_ = item->index + 1;
    Slot& slot = *item->word;
    if ((slot & (kLoading | kDirty | kWriting)) != 0) continue;
    if (platform::frame_info(Pa::checked(slot & ~kFlags)).references.load(std::memory_order_acquire) != 1)
      continue;
    if ((slot & kReferenced) != 0) {
      slot &= ~kReferenced;
      continue;
    }
    drop(item->index, guard);
    ++dropped;
  }
  return dropped;
}

std::size_t PageCache::reclaim(std::size_t count) {
  std::size_t dropped = 0;
  const SpinGuard guard(caches_lock);
  if (caches().empty()) return 0;
  // Each cache once; the one just searched goes to the back, so that all take turns.
  const PageCache* const last = &caches().back();
  for (bool done = false; !done && dropped < count;) {
    PageCache& cache = *caches().pop_front();
    caches().push_back(cache);
    dropped += cache.reclaim_some(count - dropped);
    done = &cache == last;
  }
  faultline::count(Counter::PageCacheReclaimed, dropped);
  return dropped;
}

std::size_t PageCache::total_pages() {
  std::size_t pages = 0;
  const SpinGuard guard(caches_lock);
  for (const PageCache& cache : caches()) pages += cache.cached_page_count();
  return pages;
}

Result<Frame> reclaim_and_allocate(FrameContents contents) {
  if (PageCache::reclaim(kReclaimBatch) == 0) return failure(KernelError::OutOfMemory);
  return Frame::allocate(contents);
}

}  // namespace faultline
