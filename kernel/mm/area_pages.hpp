#pragma once
// How a page of each kind of memory comes to be: had from its loader and installed, copied, or taken over. A
// policy says when; the steps here are the same for all.
//
// A step looks at the entry without its lock, prepares what it needs (which may sleep), then takes the
// table's lock and looks again. If the entry is not what it was, somebody else was faster; if the file was
// truncated between asking for its page and installing it, the page may be gone (regular_file.hpp). Both end
// in Retry: the caller looks anew.
//
// Fences of this hart. A new page gets none: harts need not remember that an entry was not valid (those with
// Svvptc never do, nor does QEMU), and one that does faults once more. That fault is spurious: it finds that
// the entry allows the access, and fences. A page that gains rights where it stands is another matter: the
// hart has just refused the access by the old entry, and surely still has it.

#include <algorithm>
#include <cstdint>

#include "kernel/mm/memory_system.hpp"
#include "kernel/mm/page_table.hpp"
#include "kernel/mm/statistics.hpp"
#include "kernel/mm/vm_area.hpp"

namespace faultline::area_pages {

/// The file behind an area, as it was when asked; nothing for other memory.
class Untruncated {
 public:
  explicit Untruncated(const VmArea& area) noexcept
      : file_(area.file()), truncations_(file_ != nullptr ? file_->truncations() : 0) {}
  /// Under the lock of the entry: false when what the file gave since then may lie beyond its end now.
  bool holds() const noexcept { return file_ == nullptr || file_->truncations() == truncations_; }

 private:
  const RegularFile* file_;
  std::uint32_t truncations_;
};

/// What stands in an entry beside address and rights.
inline std::uint64_t software_bits(const VmArea& area) noexcept {
  return area.is_shared() ? Pte::kSharedMapping : 0;
}

/// Before new bytes become executable: no hart may fetch what its instruction cache kept of the frame's past.
inline void prepare_execution(const VmArea& area) noexcept {
  if (area.permission().executable()) platform::synchronize_instructions();
}

/// The aligned group of `bytes`, a power of two, around an address of an area, as far as it lies in the area.
inline VaRange group_around(const VmArea& area, Va va, std::uint64_t bytes) noexcept {
  const std::uint64_t start = va.value() & ~(bytes - 1);
  return VaRange(std::max(area.start(), Va::checked(start)),
                 std::min(area.end(), Va::checked(start + bytes)));
}

/// A frame with the contents of a page: the cache's own where the area is shared, otherwise one that nobody
/// else has. May sleep. Errors: those of the loader; OutOfMemory.
[[nodiscard]] Result<Frame> frame_for(const VmArea& area, Va page);

// --- An empty entry ---

/// Of a file: the page cache's frame, to be written where `write` (shared mappings only), and as many of the
/// group around it as the cache has, read-only.
[[nodiscard]] Result<> load_cached(const EntryRef& entry, const VmArea& area, bool write);

/// A frame of the space's own: a private copy of a file's page, or what a page source delivers.
[[nodiscard]] Result<> load_private(const EntryRef& entry, const VmArea& area);

/// Anonymous memory: zeroes. What is only read needs no frame of its own. `allocate` is Frame::allocate for a
/// page that is not worth reclaiming others. Always inline: it is the whole of the most frequent fault, and a
/// call of its own would cost 25 of that fault's 1,000 instructions.
[[nodiscard, gnu::always_inline]] inline Result<> load_zeroes(
    const EntryRef& entry, const VmArea& area, Access access,
    Result<Frame> (*allocate)(FrameContents) = allocate_or_reclaim) {
  if (access != Access::Write) {
    const LockedEntry locked = entry.lock();
    if (!locked.get().is_empty()) return {};
    locked.install_uncounted(MemorySystem::current().zero_page(), area.permission().without_write(), 0);
    count(Counter::ZeroPageMapped);
    return {};
  }
  Frame frame = TRY(allocate(FrameContents::Zeroed));
  const LockedEntry locked = entry.lock();
  if (!locked.get().is_empty()) return {};
  locked.install(std::move(frame), area.permission(), 0, true);
  count(Counter::DemandZero);
  return {};
}

/// Whatever kind of memory it is.
[[nodiscard, gnu::always_inline]] inline Result<> load(const EntryRef& entry, const VmArea& area,
                                                       Access access) {
  if (area.is_anonymous()) return load_zeroes(entry, area, access);
  const bool write = access == Access::Write;
  if (area.file() != nullptr && (area.is_shared() || !write)) return load_cached(entry, area, write);
  return load_private(entry, area);
}

// --- A present page that may not be written yet ---

/// Of a shared mapping: the file's page becomes dirty, and writable.
[[nodiscard]] Result<> write_shared_page(const Space& space, const EntryRef& entry, const VmArea& area);

/// Of a private one: a copy takes the place of the page `seen`, unless the entry is its sole owner, which
/// takes it over as it stands. Error: OutOfMemory.
[[nodiscard]] Result<> break_copy_on_write(const Space& space, const EntryRef& entry, const VmArea& area,
                                           Pte seen);

/// Whatever kind of memory it is.
[[nodiscard]] inline Result<> make_writable(const Space& space, const EntryRef& entry, const VmArea& area,
                                            Pte seen) {
  return area.is_shared() ? write_shared_page(space, entry, area)
                          : break_copy_on_write(space, entry, area, seen);
}

// --- An entry that allows the access ---

/// This hart's TLB is behind, or the hart leaves setting A and D to us.
void set_accessed(const Space& space, const EntryRef& entry, Access access);

}  // namespace faultline::area_pages
