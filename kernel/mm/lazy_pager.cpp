#include "kernel/mm/lazy_pager.hpp"

#include "kernel/mm/mm_struct.hpp"

namespace faultline {

// --- Mapping: areas only ---

Result<VaRange> LazyPager::mmap(PageTable& table, Va start, std::size_t size, Permission permission,
                                RegularFile* file, std::uint64_t offset, Sharing sharing, EmptyFile empty) {
  const VaRange range = TRY(check_new_range(start, size, offset));
  AnyLoader loader = TRY(loader_for(file, range, sharing, empty));
  TRY(add_area(table, range, permission, sharing, std::move(loader),
               file != nullptr ? offset >> kPageShift : 0));
  return range;
}

Result<VaRange> LazyPager::mmap(PageTable& table, Va start, std::size_t size, Permission permission,
                                Ref<PageSource> source, std::uint64_t ipa) {
  const VaRange range = TRY(check_new_range(start, size, ipa));
  TRY(add_area(table, range, permission, Sharing::Private, PageSourceLoader{std::move(source), ipa}, 0));
  return range;
}

Result<> LazyPager::protect(PageTable& table, VaRange range, Permission permission) {
  TRY(check_protect(range, permission));
  TRY(table.unshare(range, VaRange(range.start(), range.start())));
  TRY(split_at_ends(range));
  {
    TlbBatch batch(table.space());
    for (VmArea& area : areas_.overlapping(range)) {
      area.set_permission(permission);
      const GrantWrite grant = area.is_shared() ? GrantWrite::Never : GrantWrite::ToSoleOwner;
      const Result<> changed = table.protect(area.range(), permission, batch, grant);
      ASSERT(changed.has_value());  // no table is shared any more, and there are no large leaves
    }
  }
  join_pieces(range);
  return {};
}

Result<> LazyPager::advise(PageTable& table, VaRange range, Advice advice) {
  if (!range.page_aligned()) return failure(KernelError::InvalidArgument);
  if (!covers(range)) return failure(KernelError::NotMapped);
  if (advice == Advice::DontNeed) TRY(table.unshare(range, range));
  TlbBatch batch(table.space());
  for (VmArea& area : areas_.overlapping(range)) {
    const VaRange part = area.range().intersection(range);
    if (advice == Advice::DontNeed) {
      remove_area_pages(table, area, part, range, batch);
    } else if (advice == Advice::Populate) {
      populate(table, area, part);
    } else if (RegularFile* file = area.file()) {
      // Into the cache; the faults to come then map many pages each. What cannot be read is reported to
      // whoever touches it.
      const std::uint64_t first = area.page_index(part.start());
      for (std::uint64_t page = 0; page < part.pages() && file->page(first + page); ++page) {
      }
    }
  }
  return {};
}

Result<VaRange> LazyPager::move(PageTable& table, VaRange from, Va to, std::size_t size) {
  return move_area(table, from, to, size);
}

Result<> LazyPager::grow_down(PageTable&, VmArea& area, Va start) {
  areas_.set_range(area, VaRange(start, area.end()));
  return {};
}

// --- Fork ---

Result<LazyPager> LazyPager::clone(Space& space) const {
  LazyPager copy;
  TRY(copy_areas_to(copy, space));
  return copy;
}

Result<LazyPager> LazyPager::fork(PageTable& table, PageTable& child_table) {
  // The areas first: truncation must find the child's, and behind the parent's, before entries are copied.
  LazyPager child = TRY(clone(child_table.space()));
  Result<> shared;
  {
    TlbBatch batch(table.space());
    for (const VmArea& area : areas_.all()) {
      shared = table.fork_into(child_table, area.range(), batch);
      if (!shared) break;
    }
  }
  if (shared) return child;
  child.clear(child_table);
  return failure(shared.error());
}

Result<MmStruct<LazyPager>> LazyPager::write_protect_ptes(MmStruct<LazyPager>& parent) {
  return parent.fork_with([](LazyPager& pager, PageTable& table, PageTable& child_table) {
    return pager.fork(table, child_table);
  });
}

}  // namespace faultline
