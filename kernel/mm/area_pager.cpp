#include "kernel/mm/area_pager.hpp"

#include "kernel/mm/page_cache.hpp"

namespace faultline {

namespace {
constexpr VaRange kUserHalf(Va::checked(0), Va::checked(kUserEnd));
/// End of the longest possible file.
constexpr std::uint64_t kMaxFileSize = std::uint64_t{1} << 63;
}  // namespace

// --- Asking ---

bool AreaPager::access_ok(Va va, Access access) const {
  const VmArea* area = areas_.find(va);
  return area != nullptr && area->permission().allows(access);
}

bool AreaPager::covers(VaRange range) const {
  Va covered = range.start();
  for (const VmArea& area : areas_.overlapping(range)) {
    if (area.start() > covered) return false;
    covered = area.end();
  }
  return covered >= range.end();
}

Result<> AreaPager::check_protect(VaRange range, Permission permission) const {
  if (!range.page_aligned()) return failure(KernelError::InvalidArgument);
  if (!covers(range)) return failure(KernelError::NotMapped);
  for (const VmArea& area : areas_.overlapping(range)) {
    if (permission.writable() && !area.may_write()) return failure(KernelError::AccessDenied);
  }
  return {};
}

void AreaPager::forbid_write(VaRange range) {
  for (VmArea& area : areas_.overlapping(range)) {
    area.forbid_write();
  }
}

Result<> AreaPager::change_flags(VaRange range, AreaFlags given, AreaFlags taken) {
  TRY(split_at_ends(range));
  for (VmArea& area : areas_.overlapping(range)) {
    area.set_flags(area.flags().without(taken).with(given));
  }
  join_pieces(range);
  return {};
}

Result<VaRange> AreaPager::check_new_range(Va start, std::size_t size, std::uint64_t offset) const {
  const std::optional<std::uint64_t> bytes = page_ceiling(size);
  if (start.value() == 0 || !start.page_aligned() || size == 0 || !bytes || !is_page_aligned(offset)) {
    return failure(KernelError::InvalidArgument);
  }
  const VaRange range = TRY(VaRange::from(start.value(), *bytes));
  if (offset > kMaxFileSize || *bytes > kMaxFileSize - offset) return failure(KernelError::InvalidArgument);
  return range;
}

// --- Adding and cutting ---

Result<AnyLoader> AreaPager::loader_for(RegularFile* file, VaRange range, Sharing sharing, EmptyFile empty) {
  if (file != nullptr) {
    if (file->size() == 0 && empty == EmptyFile::Refused) return failure(KernelError::InvalidArgument);
    return FileLoader{Ref<RegularFile>::share(*file)};
  }
  if (sharing == Sharing::Private) return AnonLoader();
  return FileLoader{TRY(make_ref<AnonymousFile>(range.size()))};
}

Result<VmArea*> AreaPager::add_area(PageTable& table, VaRange range, Permission permission, Sharing sharing,
                                    AnyLoader loader, std::uint64_t first_index) {
  if (areas_.first_overlapping(range) != nullptr) return failure(KernelError::AlreadyMapped);
  Box<VmArea> area = TRY(make_box<VmArea>(table.space(), range, permission, sharing, std::move(loader),
                                          first_index, next_mapping_));
  ++next_mapping_;
  VmArea* const added = area.get();
  areas_.insert(std::move(area));
  added->register_with_file();
  return added;
}

Result<> AreaPager::split_at_ends(VaRange range) {
  const auto cut_by = [](VmArea* area, Va at) { return area != nullptr && area->start() < at; };
  VmArea* const at_start = areas_.find(range.start());
  VmArea* const at_end = range.end().value() < kUserEnd ? areas_.find(range.end()) : nullptr;
  Box<VmArea> above_start, above_end;
  if (cut_by(at_start, range.start())) above_start = TRY(at_start->copy_for(at_start->space(), range));
  if (cut_by(at_end, range.end())) above_end = TRY(at_end->copy_for(at_end->space(), range));
  // The upper cut first: then the lower one still finds its area, even if it is the same.
  if (above_end) areas_.split(*at_end, range.end(), std::move(above_end));
  if (above_start) areas_.split(*at_start, range.start(), std::move(above_start));
  return {};
}

void AreaPager::join_pieces(VaRange range) {
  VmArea* area = areas_.first_ending_after(range.start());
  if (area == nullptr) return;
  if (VmArea* below = AreaIndex::previous(*area)) area = below;
  while (area->start() < range.end()) {
    VmArea* const next = AreaIndex::next(*area);
    if (next == nullptr) return;
    if (area->continues_with(*next)) {
      areas_.join_with_next(*area);
    } else {
      area = next;
    }
  }
}

// --- Removing ---

void AreaPager::remove_area_pages(PageTable& table, VmArea& area, VaRange part, VaRange whole,
                                  TlbBatch& batch) {
  RegularFile* const file = area.file();
  if (file == nullptr || !area.is_shared()) {
    table.remove_pages(part, whole, batch);
    return;
  }
  // What was written through this mapping is the file's.
  batch.for_each_written(
      part,
      [&](VaRange chunk) {
        std::uint64_t dirty = 0;
        table.remove_pages(chunk, whole, batch, &dirty);
        return dirty;
      },
      [&](Va page) { file->mark_dirty(area.page_index(page)); });
}

std::size_t AreaPager::remove_areas(PageTable& table, VaRange range, VaRange gap) {
  TlbBatch batch(table.space());
  for (VmArea& area : areas_.overlapping(range)) {
    remove_area_pages(table, area, area.range(), gap, batch);
    area.unregister_from_file();
  }
  // Only now: until its pages are gone truncation must find an area, and while it may find one the tables
  // must stay.
  std::size_t bytes = 0;
  while (VmArea* area = areas_.first_overlapping(range)) {
    bytes += area->range().size();
    table.free_tables(area->range(), gap, batch);
    const Box<VmArea> removed = areas_.remove(*area);
  }
  return bytes;
}

VaRange AreaPager::gap_after_removal(VaRange range) const {
  const VmArea* first = areas_.first_overlapping(range);
  if (first == nullptr) return areas_.gap_around(range);
  Va start = range.start();
  if (first->start() >= start) {
    const VmArea* below = AreaIndex::previous(*first);
    start = below != nullptr ? below->end() : Va::checked(0);
  }
  Va end = range.end();
  const VmArea* last = areas_.first_ending_after(end);
  if (last == nullptr) {
    end = Va::checked(kUserEnd);
  } else if (last->start() >= end) {
    end = last->start();
  }
  return VaRange(start, end);
}

Result<std::size_t> AreaPager::munmap(PageTable& table, VaRange range) {
  if (!range.page_aligned() || range.empty()) return failure(KernelError::InvalidArgument);
  if (areas_.first_overlapping(range) == nullptr) return std::size_t{0};
  const VaRange gap = gap_after_removal(range);
  TRY(table.unshare(range, gap));
  if (VmArea* area = areas_.first_overlapping(range); shortens(range, *area)) {
    shorten_area(table, *area, range, gap);
    return range.size();
  }
  TRY(split_at_ends(range));
  return remove_areas(table, range, gap);
}

bool AreaPager::shortens(VaRange range, const VmArea& area) {
  const bool one_end = (range.start() == area.start()) != (range.end() == area.end());
  return one_end && area.range().contains(range);
}

void AreaPager::shorten_area(PageTable& table, VmArea& area, VaRange range, VaRange gap) {
  TlbBatch batch(table.space());
  remove_area_pages(table, area, range, gap, batch);
  const bool head = range.start() == area.start();
  areas_.set_range(area, head ? VaRange(range.end(), area.end()) : VaRange(area.start(), range.start()));
  table.free_tables(range, gap, batch);
}

Result<std::size_t> AreaPager::munmap(PageTable& table, Va start) {
  const std::optional<VaRange> mapping = areas_.mapping_at(start);
  if (!mapping) return failure(KernelError::NotMapped);
  const VaRange gap = gap_after_removal(*mapping);
  TRY(table.unshare(*mapping, gap));
  return remove_areas(table, *mapping, gap);
}

void AreaPager::clear(PageTable& table) { remove_areas(table, kUserHalf, kUserHalf); }

// --- Files ---

Result<> AreaPager::synchronize(PageTable&, VaRange range) {
  if (!range.page_aligned()) return failure(KernelError::InvalidArgument);
  Result<> result;
  if (!covers(range)) result = failure(KernelError::NotMapped);
  for (VmArea& area : areas_.overlapping(range)) {
    RegularFile* const file = area.file();
    if (file == nullptr || !area.is_shared()) continue;
    const VaRange part = area.range().intersection(range);
    const std::uint64_t first = area.page_index(part.start());
    // write_back collects the D bits of every mapping of the file, this one's among them.
    const Result<> written = file->write_back(first, first + part.pages());
    if (!written) result = written;
  }
  return result;
}

// --- Moving ---

Result<VaRange> AreaPager::resize_area(PageTable& table, VmArea& area, VaRange from, std::size_t size) {
  const VaRange wanted = TRY(VaRange::from(from.start().value(), size));
  if (wanted.end() <= from.end()) {
    const VaRange tail(wanted.end(), from.end());
    if (!tail.empty()) TRY(munmap(table, tail));
    return wanted;
  }
  // Growing in place needs the area's own end, and free space behind it.
  if (from.end() != area.end()) return failure(KernelError::AlreadyMapped);
  const VaRange more(from.end(), wanted.end());
  if (areas_.first_overlapping(more) != nullptr) return failure(KernelError::AlreadyMapped);
  areas_.set_range(area, VaRange(area.start(), wanted.end()));
  return wanted;
}

Result<VaRange> AreaPager::move_area(PageTable& table, VaRange from, Va to, std::size_t size) {
  const std::optional<std::uint64_t> bytes = page_ceiling(size);
  if (!from.page_aligned() || from.empty() || !bytes || *bytes == 0 || !to.page_aligned() ||
      to.value() == 0) {
    return failure(KernelError::InvalidArgument);
  }
  VmArea* const area = areas_.find(from.start());
  if (area == nullptr || !area->range().contains(from)) return failure(KernelError::NotMapped);
  const std::uint64_t first_index = area->page_index(from.start());
  if (*bytes / kPageSize > (kMaxFileSize >> kPageShift) - first_index)
    return failure(KernelError::InvalidArgument);
  if (to == from.start()) return resize_area(table, *area, from, *bytes);

  const VaRange target = TRY(VaRange::from(to.value(), *bytes));
  if (target.overlaps(from)) return failure(KernelError::InvalidArgument);
  if (areas_.first_overlapping(target) != nullptr) return failure(KernelError::AlreadyMapped);
  const VaRange kept(from.start(), from.start() + std::min<std::uint64_t>(from.size(), *bytes));
  // All that can fail. Tables made for the target lie in free space: they go again if anything does.
  const VaRange landing(to, to + kept.size());
  const auto prepare = [&]() -> Result<Box<VmArea>> {
    TRY(table.prepare(landing));
    TRY(table.unshare(from, VaRange(from.start(), from.start())));
    Box<VmArea> moved = TRY(area->copy_for(table.space(), target));
    moved->set_first_index(first_index);
    TRY(split_at_ends(from));
    return moved;
  };
  Result<Box<VmArea>> moved = prepare();
  if (!moved) {
    // A caller may have made an area of the file's known there already, to which truncation goes.
    const MappingsGuard guard(*area);
    TlbBatch batch(table.space());
    table.free_tables(landing, areas_.gap_around(target), batch);
    return failure(moved.error());
  }
  VmArea& added = **moved;
  areas_.insert(std::move(*moved));
  {
    // Truncation walks the areas of the file: with its lock held it sees every page either before or after
    // the move.
    const MappingsGuard guard(added);
    if (RegularFile* file = added.file()) file->mappings_.push_back(added);
    TlbBatch batch(table.space());
    table.move_pages(kept, to, batch);
  }
  remove_areas(table, from, gap_after_removal(from));
  return target;
}

// --- Copying ---

Result<> AreaPager::copy_areas_to(AreaPager& child, Space& child_space) const {
  child.next_mapping_ = next_mapping_;
  for (const VmArea& area : areas_.all()) {
    Result<Box<VmArea>> copy = area.copy_for(child_space, area.range());
    if (!copy) {
      child.forget_areas();
      return failure(copy.error());
    }
    VmArea& added = **copy;
    child.areas_.insert(std::move(*copy));
    added.register_with_file();
  }
  return {};
}

void AreaPager::forget_areas() {
  while (VmArea* area = areas_.first()) {
    area->unregister_from_file();
    const Box<VmArea> removed = areas_.remove(*area);
  }
}

}  // namespace faultline
