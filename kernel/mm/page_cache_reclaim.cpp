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

/// Consecutive pages that are taken out of mappings, written and dropped in one go.
constexpr std::uint64_t kWriteWindow = 128;

/// Pages dropped when a frame is needed: more than one, so that the next few need no search.
constexpr std::size_t kReclaimBatch = 32;

/// The cache whose turn it is goes to the back; null when it is being destroyed, or there is none.
Ref<PageCache> take_turn() {
  const SpinGuard guard(caches_lock);
  if (caches().empty()) return nullptr;
  PageCache& cache = *caches().pop_front();
  caches().push_back(cache);
  return cache.try_acquire_reference() ? Ref<PageCache>::adopt(&cache) : nullptr;
}

/// Calls f for about every cache, without a lock, until it returns false.
template <class F>
void for_each_in_turn(F f) {
  std::size_t left;
  {
    const SpinGuard guard(caches_lock);
    left = static_cast<std::size_t>(std::distance(caches().begin(), caches().end()));
  }
  for (bool more = true; more && left > 0; --left) {
    // The caller's may have become the last owner.
    if (const Ref<PageCache> cache = take_turn()) more = f(*cache);
  }
}
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

// Others get at a frame through the cache's lock or through a mapping that holds it: with the lock held, one
// that is not in use stays so.
bool PageCache::is_unused(Slot slot) { return Frame::has_sole_owner(Pa::checked(slot & ~kFlags)); }

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
    if (!is_unused(slot)) continue;
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

// Where the next window of cached pages begins; nothing at the end of the file, once.
std::optional<std::uint64_t> PageCache::next_window() {
  const SpinGuard guard(lock_);
  const std::optional<RadixTree::Item> item = pages_.first_from(write_cursor_);
  if (!item) {
    write_cursor_ = 0;
    return std::nullopt;
  }
  write_cursor_ = item->index + kWriteWindow;
  return item->index;
}

std::size_t PageCache::drop_unused(std::uint64_t first, std::uint64_t last) {
  const SpinGuard guard(lock_);
  std::size_t dropped = 0;
  for (auto item = pages_.first_from(first); item && item->index < last;) {
    const std::uint64_t index = item->index;
    if ((*item->word & (kLoading | kDirty | kWriting)) == 0 && is_unused(*item->word)) {
      drop(index, guard);
      ++dropped;
    }
    item = pages_.first_from(index + 1);
  }
  return dropped;
}

// The order matters: out of the mappings, so that nobody writes to a page unseen; then to the device what
// nobody holds (who holds a page may be about to write to it, and it stays dirty); then out of the cache what
// is still clean and still unused.
std::size_t PageCache::write_and_drop(std::size_t count) {
  std::size_t dropped = 0;
  for (unsigned ends = 0; ends < 2 && dropped < count;) {
    const std::optional<std::uint64_t> first = next_window();
    if (!first) {
      ++ends;
      continue;
    }
    const std::uint64_t last = *first + kWriteWindow;
    unmap_shared(*first, last);
    // What cannot be written stays dirty; the file's next fsync tells.
    (void)write_dirty(*first, last, Pages::Unused);
    dropped += drop_unused(*first, last);
  }
  return dropped;
}

std::size_t PageCache::reclaim_by_writing(std::size_t count) {
  may_sleep();
  std::size_t dropped = 0;
  for_each_in_turn([&](PageCache& cache) {
    if (cache.reclaimable() && cache.has_dirty_pages() && cache.worth_writing())
      dropped += cache.write_and_drop(count - dropped);
    return dropped < count;
  });
  faultline::count(Counter::PageCacheReclaimed, dropped);
  return dropped;
}

std::size_t PageCache::count_reclaimable() const {
  if (!reclaimable()) return 0;
  const bool shared = is_mapped_shared();
  const SpinGuard guard(lock_);
  if (shared) return pages_.count();
  std::size_t pages = 0;
  for (auto item = pages_.first_from(0); item; item = pages_.first_from(item->index + 1))
    if (is_unused(*item->word)) ++pages;
  return pages;
}

std::size_t PageCache::reclaimable_pages() {
  std::size_t pages = 0;
  for_each_in_turn([&](const PageCache& cache) {
    pages += cache.count_reclaimable();
    return true;
  });
  return pages;
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
