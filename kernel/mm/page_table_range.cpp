// Page tables: operations on ranges.

#include "kernel/mm/page_table.hpp"
#include "kernel/mm/table_words.hpp"

namespace faultline {

namespace {

/// True when a large leaf covers part of the range and part of something else.
bool cuts_large_leaf(const PageTable& table, VaRange range) {
  for (const Va end : {range.start(), range.end()}) {
    const std::optional<Translation> found = table.walk(end);
    if (found && end.value() % entry_span(found->level) != 0) return true;
  }
  return false;
}

/// The entry with the rights that protect() gives it.
Pte with_rights(Pte old, Permission permission, GrantWrite grant) {
  bool write = permission.writable();
  if (write && (old.raw() & (Pte::kValid | Pte::kWrite)) != (Pte::kValid | Pte::kWrite)) {
    if (grant == GrantWrite::Never) write = false;
    if (grant == GrantWrite::ToSoleOwner) {
      write = old.is_counted() && Frame::has_sole_owner(old.pa());
    }
  }
  const Permission given = write ? permission : permission.without_write();
  const bool dirty = old.is_dirty() || (write && !old.is_shared_mapping());
  return Pte::user(old.pa(), given, old.raw() & Pte::kSoftware, dirty);
}

/// Changes one entry, keeping what the hart sets in it meanwhile. True when a right went away.
bool change_rights(PteSlot slot, Permission permission, GrantWrite grant) {
  Pte old = slot.load();
  if (!old.has_page()) return false;
  Pte changed;
  do {
    changed = with_rights(old, permission, grant);
  } while (!slot.compare_exchange(old, changed));
  return old.is_valid() && (!changed.is_valid() || !changed.permission().includes(old.permission()));
}

}  // namespace

Result<> PageTable::unmap(VaRange range, TlbBatch& batch) {
  if (!range.page_aligned() || cuts_large_leaf(*this, range)) return failure(KernelError::InvalidArgument);
  TRY(unshare(range, range));
  remove_pages(range, range, batch);
  free_tables(range, VaRange(Va::checked(0), Va::checked(kUserEnd)), batch);
  return {};
}

Result<> PageTable::protect(VaRange range, Permission permission, TlbBatch& batch, GrantWrite grant) {
  if (!range.page_aligned() || cuts_large_leaf(*this, range)) return failure(KernelError::InvalidArgument);
  TRY(unshare(range, VaRange(range.start(), range.start())));
  const auto change_leaf = [&](PteSlot slot, Va va) {
    if (change_rights(slot, permission, grant)) {
      batch.absorb(StaleEntry(*space_, va, Frame(), StaleEntry::Level::Table));
    }
  };
  tables::for_each_piece(range, 1, [&](VaRange piece) {
    const PteSlot root_slot = tables::slot(space_->root(), piece.start(), 2);
    const Pte root_entry = root_slot.load();
    if (!root_entry.is_table()) {
      change_leaf(root_slot, piece.start());
      return tables::span_around(piece.start(), 2).end();
    }
    const PteSlot slot = tables::slot(root_entry.pa(), piece.start(), 1);
    const Pte entry = slot.load();
    if (!entry.is_table()) {
      change_leaf(slot, piece.start());
      return piece.end();
    }
    const TableGuard guard(platform::frame_info(entry.pa()));
    for (Va page = piece.start(); page < piece.end(); page = page + kPageSize) {
      if (change_rights(tables::slot(entry.pa(), page, 0), permission, grant)) {
        batch.absorb(StaleEntry(*space_, page, Frame()));
      }
    }
    return piece.end();
  });
  return {};
}

Result<> PageTable::prepare(VaRange range) {
  for (Va at = range.start(); at < range.end(); at = tables::span_around(at, 1).end())
    static_cast<void>(TRY(walk_mut(at)));
  return {};
}

Result<> PageTable::unshare(VaRange range, VaRange whole) {
  Result<> result;
  tables::for_each_table_piece(*space_, range, [&](Pa level1, VaRange piece) {
    const PteSlot slot = tables::slot(level1, piece.start(), 1);
    if (!result || !slot.load().is_shared_table()) return;
    if (!whole.contains(tables::span_around(piece.start(), 1))) result = tables::unshare_table(level1, slot);
  });
  return result;
}

void PageTable::remove_pages(VaRange range, VaRange whole, TlbBatch& batch, std::uint64_t* dirty) noexcept {
  ASSERT(dirty == nullptr || range.pages() <= 64);
  tables::for_each_piece(range, 1, [&](VaRange piece) {
    const VaRange gigapage = tables::span_around(piece.start(), 2);
    const PteSlot root_slot = tables::slot(space_->root(), piece.start(), 2);
    const Pte root_entry = root_slot.load();
    if (root_entry.is_empty()) return gigapage.end();
    if (root_entry.is_leaf()) {
      ASSERT(range.contains(gigapage));
      tables::empty_entry(space_->root(), root_slot);
      batch.absorb(StaleEntry(*space_, piece.start(), Frame(), StaleEntry::Level::Table));
      return gigapage.end();
    }
    const PteSlot slot = tables::slot(root_entry.pa(), piece.start(), 1);
    if (slot.load().is_shared_table()) {
      ASSERT(whole.contains(tables::span_around(piece.start(), 1)));
      tables::let_go_of_shared_table(root_entry.pa(), slot);
    }
    const Pte entry = slot.load();
    if (entry.is_table()) {
      tables::remove_piece(entry.pa(), piece, batch, {range.start(), dirty});
    } else if (entry.is_leaf()) {
      ASSERT(range.contains(tables::span_around(piece.start(), 1)));
      tables::empty_entry(root_entry.pa(), slot);
      batch.absorb(StaleEntry(*space_, piece.start(), Frame(), StaleEntry::Level::Table));
    }
    return piece.end();
  });
}

void PageTable::free_tables(VaRange range, VaRange gap, TlbBatch& batch) noexcept {
  if (range.empty()) return;
  // The tables that the range touches, cut down to those that map nothing else.
  const auto free_one = [&](Pa parent, PteSlot slot, Pte entry, Va va) {
    tables::empty_entry(parent, slot);
    batch.absorb(StaleEntry(*space_, va, Frame::adopt(entry.pa()), StaleEntry::Level::Table));
  };
  tables::for_each_piece(range, 2, [&](VaRange gigapage_piece) {
    const VaRange gigapage = tables::span_around(gigapage_piece.start(), 2);
    const PteSlot root_slot = tables::slot(space_->root(), gigapage.start(), 2);
    const Pte root_entry = root_slot.load();
    if (!root_entry.is_table()) return gigapage.end();
    const Pa level1 = root_entry.pa();
    tables::for_each_piece(gigapage_piece, 1, [&](VaRange piece) {
      const VaRange megapage = tables::span_around(piece.start(), 1);
      const PteSlot slot = tables::slot(level1, megapage.start(), 1);
      const Pte entry = slot.load();
      if (entry.is_table() && gap.contains(megapage) && tables::used_entries(entry.pa()) == 0) {
        free_one(level1, slot, entry, megapage.start());
      }
      return megapage.end();
    });
    if (gap.contains(gigapage) && tables::used_entries(level1) == 0)
      free_one(space_->root(), root_slot, root_entry, gigapage.start());
    return gigapage.end();
  });
}

void PageTable::move_pages(VaRange from, Va to, TlbBatch& batch) noexcept {
  tables::for_each_table_piece(*space_, from, [&](Pa level1, VaRange piece) {
    const Pte entry = tables::slot(level1, piece.start(), 1).load();
    if (!entry.is_table()) return;
    for (Va page = piece.start(); page < piece.end(); page = page + kPageSize) {
      const PteSlot old_slot = tables::slot(entry.pa(), page, 0);
      if (old_slot.load().is_empty()) continue;
      const Va new_page = to + static_cast<std::uint64_t>(page - from.start());
      const Pa new_table = tables::slot(*tables::level1(*space_, new_page), new_page, 1).load().pa();
      FrameInfo& old_info = platform::frame_info(entry.pa());
      FrameInfo& new_info = platform::frame_info(new_table);
      // One lock after the other: whoever else may look, truncation, is kept away by the caller.
      Pte moved;
      {
        const TableGuard guard(old_info);
        moved = old_slot.exchange(Pte());
        old_info.tag.fetch_sub(1, std::memory_order_relaxed);
      }
      {
        const TableGuard guard(new_info);
        tables::slot(new_table, new_page, 0).store(moved);
        new_info.tag.fetch_add(1, std::memory_order_relaxed);
      }
      // The page keeps its owner, the new entry; the old translation owns nothing more.
      batch.absorb(StaleEntry(*space_, page, Frame()));
    }
  });
}

void PageTable::visit_pages(VaRange range, PageVisitor visit, void* context) const {
  tables::for_each_piece(range, 1, [&](VaRange piece) {
    const Pte root_entry = tables::slot(space_->root(), piece.start(), 2).load();
    if (root_entry.is_empty()) return tables::span_around(piece.start(), 2).end();
    // Visits the pages of a part, each with the entry that entry_at(page) gives; returns where to go on.
    const auto visit_part = [&](VaRange part, auto&& entry_at) {
      for (Va page = part.start(); page < part.end(); page = page + kPageSize) {
        const Pte leaf = entry_at(page);
        if (leaf.has_page() && !visit(context, page, leaf)) return range.end();
      }
      return part.end();
    };
    if (root_entry.is_leaf()) return visit_part(piece, [&](Va) { return root_entry; });
    // The level-1 lock keeps a shared table alive.
    const UpperTableGuard guard(platform::frame_info(root_entry.pa()));
    const Pte entry = tables::slot(root_entry.pa(), piece.start(), 1).load();
    if (entry.is_empty()) return piece.end();
    if (entry.is_leaf()) return visit_part(piece, [&](Va) { return entry; });
    return visit_part(piece, [&](Va page) { return tables::slot(entry.pa(), page, 0).load(); });
  });
}

}  // namespace faultline
