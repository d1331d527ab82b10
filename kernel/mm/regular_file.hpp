#pragma once
// The seam between memory and files: what a mapping needs to know of a file, and nothing of its insides.

#include <cstdint>
#include <span>

#include "kernel/lib/list.hpp"
#include "kernel/lib/ref.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/mm/frame.hpp"

namespace faultline {

class VmArea;
struct FileMappingTag;

/// A file whose pages can be mapped. File systems derive their inodes from it (through PageCache,
/// page_cache.hpp).
///
/// Truncation against faults: a fault reads truncations() before it asks for the page and, holding the lock
/// of the last-level table, compares it again before it installs the entry; truncate raises it after the size
/// has changed and before it removes the entries beyond. Whichever of the two takes the table's lock second
/// sees the other.
class RegularFile : public RefCounted {
 public:
  /// Current size in bytes.
  virtual std::uint64_t size() const = 0;

  /// The frame that caches page `index` (byte offset index * kPageSize), filled from the file; bytes past the
  /// end of the file read as zeroes. May sleep. Errors: BeyondEndOfFile, InputOutput, OutOfMemory.
  [[nodiscard]] virtual Result<Frame> page(std::uint64_t index) = 0;

  /// For mapping around a fault: sets frames[i] to the frame of page first + i where that is in memory
  /// already, and leaves the others empty. Returns how many it set. Does not sleep.
  virtual std::size_t cached_pages(std::uint64_t first, std::span<Frame> frames) {
    static_cast<void>(first);
    static_cast<void>(frames);
    return 0;
  }

  /// Says that the cached page has been written through a shared mapping and must reach the file.
  virtual void mark_dirty(std::uint64_t index) = 0;

  /// Writes dirty pages that lie in [first, last) page indices to the file (msync). May sleep.
  [[nodiscard]] virtual Result<> write_back(std::uint64_t first, std::uint64_t last) = 0;

  std::uint32_t truncations() const { return truncations_.load(std::memory_order_acquire); }

  /// Names the file in /proc/PID/maps: device (major << 8 | minor) and inode number.
  virtual std::uint64_t device_number() const { return 0; }
  virtual std::uint64_t inode_number() const { return 0; }

 protected:
  /// Called by the file system after the size has shrunk to `size` bytes: removes every mapped page beyond
  /// from every address space (by the areas registered in mappings_), zeroes nothing. Holds no lock that a
  /// fault takes.
  void unmap_beyond(std::uint64_t size);

  /// Calls mark_dirty for every page in [first, last) that has been written through a mapping since the last
  /// call, as the D bits of all mappings tell, and clears those; returns after every hart will set them
  /// again.
  void collect_dirty(std::uint64_t first, std::uint64_t last);

  /// Removes the pages [first, last) from every shared mapping, and calls mark_dirty for those that had been
  /// written through it; returns after no hart can reach them. They are mapped again by the next faults.
  void unmap_shared(std::uint64_t first, std::uint64_t last);

  /// Whether an area of any address space maps the file now; and whether one shares it.
  bool is_mapped() const;
  bool is_mapped_shared() const;

  std::atomic<std::uint32_t> truncations_ = 0;

 private:
  /// Calls take(Space&, table, chunk, TlbBatch&) as TlbBatch::for_each_written does, for what the shared
  /// mappings have of the pages [first, last), and mark_dirty for those that had been written.
  template <class Take>
  void take_written(std::uint64_t first, std::uint64_t last, Take take);

  friend class VmArea;
  friend class AreaIndex;
  friend class AreaPager;
  mutable SpinLock mappings_lock_{LockRank::FileMappings};
  List<VmArea, FileMappingTag> mappings_;
};

}  // namespace faultline
