#pragma once
// Inside the page-table code: how tables are reached and how ranges are cut along them.

#include <algorithm>

#include "kernel/mm/page_table.hpp"

namespace faultline::tables {

inline std::uint64_t* words(Pa table) noexcept {
  return reinterpret_cast<std::uint64_t*>(platform::frame_bytes(table));
}

/// The level-1 table for `va`; nothing when there is none, or a 1 GiB leaf in its place.
inline std::optional<Pa> level1(const Space& space, Va va) noexcept {
  const Pte entry = slot(space.root(), va, 2).load();
  if (!entry.is_table()) return std::nullopt;
  return entry.pa();
}

/// The table's count of entries that are not empty.
inline std::uint64_t used_entries(Pa table) noexcept {
  return platform::frame_info(table).tag.load(std::memory_order_relaxed);
}

/// The whole span of a `level` entry that `va` lies in.
inline VaRange span_around(Va va, unsigned level) noexcept {
  const std::uint64_t start = va.value() & ~(entry_span(level) - 1);
  return VaRange(Va::checked(start), Va::checked(start + entry_span(level)));
}

/// Cuts a range at the multiples of entry_span(level): calls f(VaRange piece) for each piece, from the lowest
/// up. f returns how far it has dealt with the range, at least the piece's end, so that it can skip what does
/// not exist.
template <class F>
inline void for_each_piece(VaRange range, unsigned level, F&& f) noexcept {
  Va at = range.start();
  while (at < range.end()) {
    const Va done = f(VaRange(at, std::min(range.end(), span_around(at, level).end())));
    at = std::min(done, range.end());
  }
}

/// Pieces of a range that lie in one last-level table each, where a level-1 table exists: f(level-1 table,
/// piece).
template <class F>
inline void for_each_table_piece(const Space& space, VaRange range, F&& f) noexcept {
  for_each_piece(range, 1, [&](VaRange piece) {
    const std::optional<Pa> table = level1(space, piece.start());
    if (!table) return span_around(piece.start(), 2).end();
    f(*table, piece);
    return piece.end();
  });
}

/// A frame that is an empty table. Error: OutOfMemory.
[[nodiscard]] Result<Frame> new_table() noexcept;

/// Fills an empty entry of a table above the last level with a large leaf.
inline void fill_with_leaf(Pa table, PteSlot entry, Pte leaf) noexcept {
  entry.store(leaf);
  platform::frame_info(table).tag.fetch_add(1, std::memory_order_relaxed);
}

/// Empties an entry, a table or a large leaf, of a table above the last level.
inline void empty_entry(Pa table, PteSlot entry) noexcept {
  entry.store(Pte());
  platform::frame_info(table).tag.fetch_sub(1, std::memory_order_relaxed);
}

/// Fills an empty entry of a table above the last level with a new, empty table, unless another hart is
/// faster; returns what stands there then. Error: OutOfMemory.
[[nodiscard]] Result<Pte> fill_with_table(Pa parent, PteSlot entry) noexcept;

/// Makes the last-level table behind a shared level-1 entry this space's own. Error: OutOfMemory.
[[nodiscard]] Result<> unshare_table(Pa level1_table, PteSlot entry) noexcept;

/// The table behind a level-1 entry if the entry is shared by no other space any more: it is taken over in
/// place. Otherwise the entry's reference is given up and the entry emptied.
void let_go_of_shared_table(Pa level1_table, PteSlot entry) noexcept;

/// Copies the entries of a last-level table, which the caller has locked, to an empty one, and takes the
/// write right on private pages from both. True when rights were taken. Each page gains an owner.
bool copy_entries(Pa from, Pa to) noexcept;

/// Where remove_piece notes which pages had been written: bit i for the page at first + i * kPageSize, i
/// < 64.
struct DirtyPages {
  Va first;
  std::uint64_t* bits;
};

/// Removes the pages of `piece` from the last-level table `table`. `dirty.bits` may be null.
void remove_piece(Pa table, VaRange piece, TlbBatch& batch, DirtyPages dirty) noexcept;

}  // namespace faultline::tables
