// Page tables: how tables come and go, and how fork shares them.
//
// A shared last-level table is reachable through entries that are not valid, so no hart translates through it
// and none holds entries from it: fork fenced when it made them so. It may therefore be changed without a
// fence. Its reference count changes under its lock only, which lets whoever finds the count at 1 take the
// table over.

#include "kernel/mm/page_table.hpp"
#include "kernel/mm/statistics.hpp"
#include "kernel/mm/table_words.hpp"

namespace faultline {

namespace {
std::atomic<std::uint32_t>& references_of(Pa table) { return platform::frame_info(table).references; }
}  // namespace

namespace tables {

Result<Frame> new_table() noexcept {
  Frame frame = TRY(allocate_or_reclaim(FrameContents::Zeroed));
  FrameInfo& info = platform::frame_info(frame.pa());
  info.tag.store(0, std::memory_order_relaxed);
  info.table_lock.store(0, std::memory_order_relaxed);
  return frame;
}

Result<Pte> fill_with_table(Pa parent, PteSlot entry) noexcept {
  Frame frame = TRY(new_table());
  Pte seen;
  const Pte filled = Pte::table(frame.pa());
  if (!entry.compare_exchange(seen, filled)) return seen;
  // Truncation skips tables that are not there, without a lock. So whoever makes one asks for truncations
  // afterwards, truncation looks for tables after it has counted itself (RegularFile::unmap_beyond), and one
  // of the two sees the other.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  static_cast<void>(frame.leak());
  platform::frame_info(parent).tag.fetch_add(1, std::memory_order_relaxed);
  return filled;
}

bool copy_entries(Pa from, Pa to) noexcept {
  const std::uint64_t count = used_entries(from);
  platform::frame_info(to).tag.store(count, std::memory_order_relaxed);
  PteSlot slot(words(from)), target(words(to));
  bool narrowed = false;
  for (std::uint64_t left = count; left > 0; slot = slot + 1, target = target + 1) {
    if (slot.is_empty()) continue;
    Pte entry = slot.load();
    --left;
    if ((entry.raw() & Pte::kUncounted) == 0) {
      references_of(entry.pa()).fetch_add(1, std::memory_order_relaxed);
    }
    // The hart may still set A and D in an entry of a table in use, hence the atomic change.
    constexpr std::uint64_t kWritable = Pte::kValid | Pte::kWrite;
    if ((entry.raw() & (kWritable | Pte::kSharedMapping)) == kWritable) {
      entry = Pte(slot.fetch_and(~Pte::kWrite).raw() & ~Pte::kWrite);
      narrowed = true;
    }
    target.store(entry);
  }
  return narrowed;
}

Result<> unshare_table(Pa level1_table, PteSlot entry) noexcept {
  Frame copy;
  for (;;) {
    {
      const UpperTableGuard level1_guard(platform::frame_info(level1_table));
      const Pte seen = entry.load();
      if (!seen.is_shared_table()) return {};  // another thread was faster
      const Pa shared = seen.pa();
      const TableGuard guard(platform::frame_info(shared));
      if (references_of(shared).load(std::memory_order_relaxed) == 1) {
        entry.store(Pte::table(shared));
        count(Counter::TableTakeover);
        return {};
      }
      if (copy) {
        copy_entries(shared, copy.pa());
        entry.store(Pte::table(copy.leak()));
        references_of(shared).fetch_sub(1, std::memory_order_relaxed);
        count(Counter::TableCopied);
        return {};
      }
    }
    copy = TRY(new_table());
  }
}

void let_go_of_shared_table(Pa level1_table, PteSlot entry) noexcept {
  const UpperTableGuard level1_guard(platform::frame_info(level1_table));
  const Pte seen = entry.load();
  const TableGuard guard(platform::frame_info(seen.pa()));
  if (references_of(seen.pa()).load(std::memory_order_relaxed) == 1) {
    entry.store(Pte::table(seen.pa()));
  } else {
    empty_entry(level1_table, entry);
    references_of(seen.pa()).fetch_sub(1, std::memory_order_relaxed);
  }
}

void remove_piece(Pa table, VaRange piece, TlbBatch& batch, DirtyPages dirty) noexcept {
  FrameInfo& info = platform::frame_info(table);
  const TableGuard guard(info);
  const std::uint64_t count = info.tag.load(std::memory_order_relaxed);
  std::uint64_t left = count;
  PteSlot slot = tables::slot(table, piece.start(), 0);
  for (std::uint64_t va = piece.start().value(); left > 0 && va < piece.end().value();
       va += kPageSize, slot = slot + 1) {
    if (slot.is_empty()) continue;
    const Pte old = slot.exchange(Pte());
    --left;
    if (dirty.bits != nullptr && old.is_dirty()) {
      *dirty.bits |= std::uint64_t{1} << ((va - dirty.first.value()) >> kPageShift);
    }
    batch.absorb(
        StaleEntry(batch.space(), Va::checked(va), old.is_counted() ? Frame::adopt(old.pa()) : Frame()));
  }
  info.tag.store(left, std::memory_order_relaxed);
}

}  // namespace tables

namespace {

/// Gives the child's entry the parent's last-level table: a copy of it if it has few entries, itself
/// otherwise.
Result<> share_table(Space& space, Pa level1, PteSlot entry, PteSlot child_entry, Va va, TlbBatch& batch) {
  Frame copy;
  if (entry.load().is_table() && tables::used_entries(entry.load().pa()) <= entries_copied_at_fork)
    copy = TRY(tables::new_table());

  const UpperTableGuard level1_guard(platform::frame_info(level1));
  const Pte seen = entry.load();
  const TableGuard guard(platform::frame_info(seen.pa()));
  if (copy) {
    if (tables::copy_entries(seen.pa(), copy.pa())) {
      batch.absorb(StaleEntry(space, va, Frame(), StaleEntry::Level::Table));
    }
    child_entry.store(Pte::table(copy.leak()));
    count(Counter::TableCopied);
    return {};
  }
  const Pte shared = Pte::shared_table(seen.pa());
  references_of(seen.pa()).fetch_add(1, std::memory_order_relaxed);
  child_entry.store(shared);
  if (seen.is_table()) {
    entry.store(shared);
    batch.absorb(StaleEntry(space, va, Frame(), StaleEntry::Level::Table));
  }
  count(Counter::TableShared);
  return {};
}

}  // namespace

Result<> PageTable::fork_into(PageTable& child, VaRange range, TlbBatch& batch) {
  Result<> result;
  const Pa child_root = child.space().root();
  tables::for_each_piece(range, 1, [&](VaRange piece) {
    const VaRange gigapage = tables::span_around(piece.start(), 2);
    const Pte root_entry = tables::slot(space_->root(), piece.start(), 2).load();
    if (root_entry.is_empty()) return gigapage.end();
    const PteSlot child_root_slot = tables::slot(child_root, piece.start(), 2);
    Pte child_root_entry = child_root_slot.load();
    if (root_entry.is_leaf()) {
      if (child_root_entry.is_empty()) tables::fill_with_leaf(child_root, child_root_slot, root_entry);
      return gigapage.end();
    }
    const PteSlot slot = tables::slot(root_entry.pa(), piece.start(), 1);
    const Pte entry = slot.load();
    if (entry.is_empty()) return piece.end();
    if (child_root_entry.is_empty()) {
      const Result<Pte> made = tables::fill_with_table(child_root, child_root_slot);
      if (!made) {
        result = failure(made.error());
        return range.end();
      }
      child_root_entry = *made;
    }
    const Pa child_level1 = child_root_entry.pa();
    const PteSlot child_slot = tables::slot(child_level1, piece.start(), 1);
    // A range below this one may have reached into the same table.
    if (!child_slot.load().is_empty()) return piece.end();
    if (entry.is_leaf()) {
      tables::fill_with_leaf(child_level1, child_slot, entry);
    } else {
      result = share_table(*space_, root_entry.pa(), slot, child_slot, piece.start(), batch);
      if (!result) return range.end();
      platform::frame_info(child_level1).tag.fetch_add(1, std::memory_order_relaxed);
    }
    return piece.end();
  });
  return result;
}

}  // namespace faultline
