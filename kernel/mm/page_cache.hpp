#pragma once
// The page cache: the pages of a file that are in memory, shared by read, write and every mapping.
//
// A file system derives its inodes from PageCache and says how pages are read from and written to its device;
// read() and write() then work on page() and page_for_write(). The size lives here, because growing and
// truncating must be ordered against faults (regular_file.hpp).
//
// Each page is absent, loading (one thread reads it, others sleep until it is done), or present, clean or
// dirty, perhaps being written back. The states stand in the low bits of the radix tree's words, the frame's
// address in the rest. A page that is loading or being written back is never dropped; truncation waits for
// it.

#include <atomic>
#include <cstdint>
#include <span>

#include "kernel/lib/list.hpp"
#include "kernel/mm/frame.hpp"
#include "kernel/mm/radix_tree.hpp"
#include "kernel/mm/regular_file.hpp"

namespace faultline {

class PageCache : public RegularFile, public ListNode<class PageCacheTag> {
 public:
  ~PageCache() override;

  std::uint64_t size() const override { return size_.load(std::memory_order_acquire); }
  // As RegularFile says.
  [[nodiscard]] Result<Frame> page(std::uint64_t index) override;
  std::size_t cached_pages(std::uint64_t first, std::span<Frame> frames) override;
  void mark_dirty(std::uint64_t index) override;
  [[nodiscard]] Result<> write_back(std::uint64_t first, std::uint64_t last) override;

  /// A page to write into; it may lie beyond the end of the file, which the caller then moves with grow().
  /// One inside the file is read first, unless it will be overwritten whole and no mapping could look at it
  /// meanwhile. The caller calls mark_dirty after it has written. May sleep. Errors: InputOutput,
  /// OutOfMemory.
  [[nodiscard]] Result<Frame> page_for_write(std::uint64_t index, bool overwritten_whole = false);

  /// Moves the end of the file up, after bytes up to `size` have been written; never down.
  void grow(std::uint64_t size);

  /// Changes the size (truncate). Shrinking removes what lies beyond from every mapping and from memory, and
  /// zeroes the rest of the last page. The caller excludes other calls that change the size, and frees the
  /// blocks afterwards. May sleep. Error: InputOutput, OutOfMemory while reading the last page; then nothing
  /// has changed.
  [[nodiscard]] Result<> truncate_pages(std::uint64_t size);

  /// Drops up to `count` clean pages that nobody maps or uses, of any file; returns how many. Does not sleep.
  static std::size_t reclaim(std::size_t count);

  /// Frees up to `count` pages, of any file, by writing them back first, and by taking them out of shared
  /// mappings; returns how many. Sleeps; holds no lock while a page is written.
  static std::size_t reclaim_by_writing(std::size_t count);

  /// Pages that the two calls above could free now.
  static std::size_t reclaimable_pages();

  /// Pages in memory, of all files.
  static std::size_t total_pages();
  std::size_t cached_page_count() const;
  /// True when write_back may have something to write: dirty pages, or shared mappings, whose writes only it
  /// can see.
  bool has_dirty_pages() const;

 protected:
  explicit PageCache(std::uint64_t size = 0);

  /// For a file system that learns the size after construction; nobody may use the file yet.
  void set_initial_size(std::uint64_t size) { size_.store(size, std::memory_order_release); }

  /// Reads the pages first, first + 1, … into `frames`, at most kMaxCluster of them. Bytes past the end of
  /// the file need not be filled. Called without any lock; may sleep. On an error the contents of all frames
  /// are unspecified.
  [[nodiscard]] virtual Result<> read_pages(std::uint64_t first, std::span<const Pa> frames) = 0;
  /// Writes the pages first, first + 1, …, at most kMaxCluster of them. They were marked clean before, so
  /// that what is written meanwhile makes them dirty again. Called without any lock; may sleep.
  [[nodiscard]] virtual Result<> write_pages(std::uint64_t first, std::span<const Pa> frames) = 0;
  static constexpr std::size_t kMaxCluster = 32;
  /// False for files whose only copy is the cache.
  virtual bool reclaimable() const { return true; }
  /// False for a file whose contents nobody will look for any more: it is not written to make room. Called
  /// without any lock.
  virtual bool worth_writing() const { return true; }

  /// Drops every page, dirty or not, of a file that has no user left (its destructor, an unlinked inode).
  void drop_all_pages();

 private:
  using Slot = std::uint64_t;
  static constexpr Slot kLoading = 1, kDirty = 2, kWriting = 4, kReferenced = 8;
  static constexpr Slot kFlags = kPageSize - 1;
  static Frame frame_of(Slot slot) { return Frame::share(Pa::checked(slot & ~kFlags)); }

  /// Zeroes what a shared mapping may have left in the last page past the end of the file.
  void zero_tail_in_memory();
  Result<> load_cluster(std::uint64_t index);
  Result<> read_cluster(std::uint64_t first, std::span<Frame> frames);
  std::size_t choose_window(std::uint64_t index, const SpinGuard& proof);
  struct DirtyRun;
  enum class Pages : std::uint8_t { All, Unused };  // Unused: that nobody but the cache holds
  DirtyRun take_dirty_run(std::uint64_t first, std::uint64_t last, Pages which);
  Result<> write_dirty(std::uint64_t first, std::uint64_t last, Pages which);
  static bool is_unused(Slot slot);
  void finish_dirty_run(const DirtyRun& run, bool written);
  void set_dirty(Slot& slot, const SpinGuard& proof);
  void drop(std::uint64_t index, const SpinGuard& proof);
  void register_for_reclaim();
  void unregister_from_reclaim();
  void wait_until_settled(SpinGuard& guard);
  void settle();
  std::size_t reclaim_some(std::size_t count);
  std::size_t write_and_drop(std::size_t count);
  std::optional<std::uint64_t> next_window();
  std::size_t drop_unused(std::uint64_t first, std::uint64_t last);
  std::size_t count_reclaimable() const;

  std::atomic<std::uint64_t> size_;
  mutable SpinLock lock_{LockRank::PageCache};
  RadixTree pages_;  // under lock_, as the following
  std::uint64_t reclaim_cursor_ = 0, write_cursor_ = 0;
  std::uint64_t next_sequential_ = 0;  // the index that a sequential reader misses next
  std::uint32_t window_ = 1;           // pages to read when it does
  std::uint32_t dirty_ = 0;
  std::atomic<std::uint32_t> registered_ = 0;
  std::atomic<std::uint32_t> settled_ = 0;  // raised when pages stop loading or being written
};

/// An unnamed file in memory: shared anonymous mappings, memfd-like objects.
class AnonymousFile final : public PageCache {
 public:
  explicit AnonymousFile(std::uint64_t size) : PageCache(size) {}
  ~AnonymousFile() override { drop_all_pages(); }

 protected:
  Result<> read_pages(std::uint64_t first, std::span<const Pa> frames) override;
  Result<> write_pages(std::uint64_t first, std::span<const Pa> frames) override;
  bool reclaimable() const override { return false; }
};

}  // namespace faultline
