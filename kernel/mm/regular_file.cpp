// Files against mappings: truncation, and finding out what was written through shared mappings.
//
// Both walk the areas that map the file, under mappings_lock_, and the page tables of those areas' spaces
// without their locks. What keeps that safe: an area leaves the file's list only after its pages are gone and
// before its tables are freed; it moves (mremap), and empty tables of one that stays are freed, under
// mappings_lock_; level-1 entries change under the level-1 table's lock, last-level entries under theirs. A
// space that shares a table with another (page_table.hpp) sees its entries removed through either.

#include "kernel/mm/regular_file.hpp"

#include "kernel/mm/table_words.hpp"
#include "kernel/mm/vm_area.hpp"

namespace faultline {

namespace {

/// The part of an area that maps the file's pages [first, last); empty when there is none.
VaRange mapped_part(const VmArea& area, std::uint64_t first, std::uint64_t last) {
  const std::uint64_t area_first = area.page_index(area.start());
  const std::uint64_t area_last = area_first + area.range().pages();
  const std::uint64_t from = std::clamp(first, area_first, area_last);
  const std::uint64_t to = std::clamp(last, from, area_last);
  return VaRange(area.start() + (from - area_first) * kPageSize,
                 area.start() + (to - area_first) * kPageSize);
}

/// Calls f(last-level table, piece) for the tables that serve the range, each with its level-1 table locked.
template <class F>
void for_each_last_level_table(const Space& space, VaRange range, F&& f) {
  tables::for_each_table_piece(space, range, [&](Pa level1, VaRange piece) {
    const UpperTableGuard guard(platform::frame_info(level1));
    const Pte entry = tables::slot(level1, piece.start(), 1).load();
    if (entry.is_table() || entry.is_shared_table()) f(entry.pa(), piece);
  });
}

/// The first page index that lies wholly past `size` bytes.
std::uint64_t first_page_beyond(std::uint64_t size) {
  return size / kPageSize + (size % kPageSize != 0 ? 1 : 0);
}

/// Clears the D bits of some pages: bit i of the result is that of the i-th.
std::uint64_t take_dirty_bits(Space& space, Pa table, VaRange chunk, TlbBatch& batch) {
  const TableGuard guard(platform::frame_info(table));
  std::uint64_t dirty = 0;
  for (Va page = chunk.start(); page < chunk.end(); page = page + kPageSize) {
    const PteSlot slot = tables::slot(table, page, 0);
    const Pte entry = slot.load();
    if (!entry.has_page() || !entry.is_dirty()) continue;
    slot.fetch_and(~Pte::kDirty);
    dirty |= std::uint64_t{1} << ((page - chunk.start()) >> kPageShift);
    // A hart that remembers the entry as dirty would write on without setting D again.
    batch.absorb(StaleEntry(space, page, Frame()));
  }
  return dirty;
}

}  // namespace

bool RegularFile::is_mapped() const {
  const SpinGuard guard(mappings_lock_);
  return !mappings_.empty();
}

bool RegularFile::is_mapped_shared() const {
  const SpinGuard guard(mappings_lock_);
  return std::any_of(mappings_.begin(), mappings_.end(), [](const VmArea& area) { return area.is_shared(); });
}

void RegularFile::unmap_beyond(std::uint64_t size) {
  std::atomic_thread_fence(std::memory_order_seq_cst);  // against who makes a table: tables::fill_with_table
  const SpinGuard guard(mappings_lock_);
  for (VmArea& area : mappings_) {
    const VaRange part = mapped_part(area, first_page_beyond(size), UINT64_MAX);
    if (part.empty()) continue;
    // The batch fences before the lock is let go: nothing maps these pages anew, because the size says no.
    TlbBatch batch(area.space());
    for_each_last_level_table(area.space(), part, [&](Pa table, VaRange piece) {
      tables::remove_piece(table, piece, batch, {piece.start(), nullptr});
    });
  }
}

template <class Take>
void RegularFile::take_written(std::uint64_t first, std::uint64_t last, Take take) {
  const SpinGuard guard(mappings_lock_);
  for (VmArea& area : mappings_) {
    const VaRange part = mapped_part(area, first, last);
    if (!area.is_shared() || part.empty()) continue;
    TlbBatch batch(area.space());
    for_each_last_level_table(area.space(), part, [&](Pa table, VaRange piece) {
      batch.for_each_written(
          piece, [&](VaRange chunk) { return take(area.space(), table, chunk, batch); },
          [&](Va page) { mark_dirty(area.page_index(page)); });
    });
  }
}

void RegularFile::unmap_shared(std::uint64_t first, std::uint64_t last) {
  take_written(first, last, [](Space&, Pa table, VaRange chunk, TlbBatch& batch) {
    std::uint64_t dirty = 0;
    tables::remove_piece(table, chunk, batch, {chunk.start(), &dirty});
    return dirty;
  });
}

void RegularFile::collect_dirty(std::uint64_t first, std::uint64_t last) {
  take_written(first, last, take_dirty_bits);
}

}  // namespace faultline
