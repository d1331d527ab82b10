#include "kernel/mm/eager_pager.hpp"

#include <array>

#include "kernel/mm/area_pages.hpp"

namespace faultline {

using area_pages::frame_for;
using area_pages::software_bits;
using area_pages::Untruncated;

namespace {

/// Marks a retained entry that protect() has just made, so that it can be taken back. protect() drops the
/// mark.
constexpr std::uint64_t kProvisional = Pte::kGlobal;

/// Makes sure that a page is there. A page that was there already stays as it is.
Result<> populate_page(PageTable& table, const VmArea& area, Va page, Permission permission,
                       std::uint64_t marks) {
  for (;;) {
    const EntryRef entry = TRY(table.locate(page));
    if (!entry.peek().is_empty()) return {};
    const Untruncated untruncated(area);
    Frame frame = TRY(frame_for(area, page));
    const LockedEntry locked = entry.lock();
    if (!locked.get().is_empty()) return {};
    if (!untruncated.holds()) continue;
    // D of a shared page tells what must reach the file, so the hart sets it; of a private page it tells
    // nothing.
    locked.install(std::move(frame), permission, software_bits(area) | marks,
                   !area.is_shared() && permission.writable());
    return {};
  }
}

/// Makes all pages of a part of an area. Pages past the end of a file are left out. On an error the pages
/// made so far stay.
Result<> populate(PageTable& table, const VmArea& area, VaRange part, Permission permission,
                  std::uint64_t marks = 0) {
  for (Va page = part.start(); page < part.end(); page = page + kPageSize) {
    const Result<> made = populate_page(table, area, page, permission, marks);
    if (!made && made.error() == KernelError::BeyondEndOfFile) break;
    if (!made) return made;
  }
  return {};
}

/// The frame of a page, if it is there.
Frame share_frame(const EntryRef& entry) {
  const LockedEntry locked = entry.lock();
  const Pte page = locked.get();
  return page.has_page() ? Frame::share(page.pa()) : Frame();
}

/// Takes back what populate made with the kProvisional mark.
void remove_provisional(PageTable& table, VaRange range) {
  TlbBatch batch(table.space());
  for (Va from = range.start(); from < range.end();) {
    std::optional<Va> found;
    table.for_each_page(VaRange(from, range.end()), [&](Va page, Pte entry) {
      if (!entry.is_valid() && (entry.raw() & kProvisional) != 0) found = page;
      return !found.has_value();
    });
    if (!found) return;
    Result<StaleEntry> removed = table.unmap(*found);
    if (removed) batch.absorb(std::move(*removed));  // otherwise truncation was faster
    from = *found + kPageSize;
  }
}

}  // namespace

// --- Mapping ---

Result<VaRange> EagerPager::map_now(PageTable& table, VaRange range, Permission permission, Sharing sharing,
                                    AnyLoader loader, std::uint64_t first_index) {
  VmArea* const area = TRY(add_area(table, range, permission, sharing, std::move(loader), first_index));
  if (permission.is_none()) return range;
  const Result<> populated = populate(table, *area, range, permission);
  if (!populated) {
    remove_areas(table, range, gap_after_removal(range));
    return failure(populated.error());
  }
  if (permission.executable()) platform::synchronize_instructions();
  return range;
}

Result<VaRange> EagerPager::mmap(PageTable& table, Va start, std::size_t size, Permission permission,
                                 RegularFile* file, std::uint64_t offset, Sharing sharing, EmptyFile empty) {
  const VaRange range = TRY(check_new_range(start, size, offset));
  AnyLoader loader = TRY(loader_for(file, range, sharing, empty));
  return map_now(table, range, permission, sharing, std::move(loader),
                 file != nullptr ? offset >> kPageShift : 0);
}

Result<VaRange> EagerPager::mmap(PageTable& table, Va start, std::size_t size, Permission permission,
                                 Ref<PageSource> source, std::uint64_t ipa) {
  const VaRange range = TRY(check_new_range(start, size, ipa));
  return map_now(table, range, permission, Sharing::Private, PageSourceLoader{std::move(source), ipa}, 0);
}

Result<> EagerPager::protect(PageTable& table, VaRange range, Permission permission) {
  TRY(check_protect(range, permission));
  TRY(split_at_ends(range));
  const auto for_areas = [&](auto&& f) -> Result<> {
    for (VmArea& area : areas_.overlapping(range)) {
      TRY(f(area));
    }
    return {};
  };
  // Pages that a mapping without rights never had. They come as retained entries, which can be taken back,
  // and so can the tables made for them.
  Result<> result;
  if (!permission.is_none()) {
    result = for_areas([&](VmArea& area) -> Result<> {
      if (!area.permission().is_none()) return {};
      return populate(table, area, area.range(), Permission::none(), kProvisional);
    });
  }
  if (!result) {
    remove_provisional(table, range);
  } else {
    TlbBatch batch(table.space());
    result = for_areas([&](VmArea& area) {
      area.set_permission(permission);
      return table.protect(area.range(), permission, batch, GrantWrite::Always);
    });
    ASSERT(result.has_value());  // nothing here is shared between tables or large
  }
  join_pieces(range);
  if (!result) free_empty_tables(table, range);
  return result;
}

void EagerPager::free_empty_tables(PageTable& table, VaRange range) {
  for (VmArea& area : areas_.overlapping(range)) {
    if (!area.permission().is_none()) continue;
    // Truncation walks the tables of the file's areas under this lock. Those of a neighbouring area may be of
    // another file, so a table that reaches into one stays.
    const MappingsGuard guard(area);
    TlbBatch batch(table.space());
    table.free_tables(area.range(), gap_after_removal(area.range()), batch);
  }
}

Result<> EagerPager::advise(PageTable& table, VaRange range, Advice advice) {
  if (!range.page_aligned()) return failure(KernelError::InvalidArgument);
  if (!covers(range)) return failure(KernelError::NotMapped);
  if (advice != Advice::DontNeed) return {};
  for (VmArea& area : areas_.overlapping(range)) {
    if (area.is_shared()) continue;
    const VaRange part = area.range().intersection(range);
    for (Va page = part.start(); page < part.end(); page = page + kPageSize) {
      const std::optional<EntryRef> entry = table.find(page);
      // Held, because truncation may remove the page meanwhile.
      const Frame frame = entry ? share_frame(*entry) : Frame();
      if (!frame) continue;
      // The page keeps its frame, and every hart its translation; only the contents start over.
      const Result<LoadedPage> fresh = load_page(area.loader(), area.page_index(page));
      if (!fresh && fresh.error() == KernelError::BeyondEndOfFile) break;
      if (!fresh) return failure(fresh.error());
      const PageRef bytes = frame.page();
      if (fresh->kind == LoadedPage::Kind::Zero) {
        bytes.zero();
      } else {
        bytes.copy_from(fresh->frame.page());
      }
    }
  }
  return {};
}

Result<VaRange> EagerPager::move(PageTable& table, VaRange from, Va to, std::size_t size) {
  const std::optional<std::uint64_t> bytes = page_ceiling(size);
  const VmArea* const area = areas_.find(from.start());
  const bool grows = bytes && *bytes > from.size() && area != nullptr && !area->permission().is_none();
  if (!grows) return move_area(table, from, to, size);

  // The pages of the part that is new come first, where the area will be: that is what can fail for want of
  // memory.
  const VaRange target = TRY(VaRange::from(to.value(), *bytes));
  const VaRange grown(to + from.size(), target.end());
  if (!to.page_aligned() || !from.page_aligned()) return failure(KernelError::InvalidArgument);
  if (areas_.first_overlapping(grown) != nullptr) return failure(KernelError::AlreadyMapped);
  const Box<VmArea> future = TRY(area->copy_for(table.space(), target));
  future->set_first_index(area->page_index(from.start()));
  future->register_with_file();
  const Result<> populated = populate(table, *future, grown, area->permission());
  const Result<VaRange> moved = populated ? move_area(table, from, to, size) : failure(populated.error());
  if (!moved) {
    TlbBatch batch(table.space());
    table.remove_pages(grown, grown, batch);
    future->unregister_from_file();
    table.free_tables(grown, areas_.gap_around(grown), batch);
    return moved;
  }
  future->unregister_from_file();
  return moved;
}

Result<> EagerPager::grow_down(PageTable& table, VmArea& area, Va start) {
  const VaRange before = area.range();
  const VaRange grown(start, area.start());
  areas_.set_range(area, VaRange(start, area.end()));
  if (area.permission().is_none()) return {};
  const Result<> populated = populate(table, area, grown, area.permission());
  if (populated) return {};
  TlbBatch batch(table.space());
  table.remove_pages(grown, grown, batch);
  areas_.set_range(area, before);
  table.free_tables(grown, areas_.gap_around(grown), batch);
  return populated;
}

// --- Access ---

Result<> EagerPager::handle_page_fault(PageTable& table, const PageFaultReason& reason) {
  const VmArea* const area = areas_.find(reason.address);
  if (area == nullptr) return failure(KernelError::NotMapped);
  if (!area->permission().allows(reason.access)) return failure(KernelError::AccessDenied);
  const Va page = reason.address.page();
  for (;;) {
    const EntryRef entry = TRY(table.locate(page));
    if (entry.peek().is_empty()) TRY(populate_page(table, *area, page, area->permission(), 0));
    const LockedEntry locked = entry.lock();
    const Pte now = locked.get();
    if (now.is_empty()) continue;  // truncated meanwhile
    if (!now.allows(reason.access)) locked.widen(area->permission(), reason.access == Access::Write);
    break;
  }
  count(Counter::SpuriousFault);
  table.space().refresh_local(page);
  return {};
}

std::optional<UserPage> EagerPager::get_user_page(PageTable& table, Va va, Access access) {
  const VmArea* const area = areas_.find(va);
  if (area == nullptr || !area->permission().allows(access)) return std::nullopt;
  for (;;) {
    const Result<EntryRef> found = table.locate(va.page());
    if (!found) return std::nullopt;
    {
      const LockedEntry entry = found->lock();
      const Pte page = entry.get();
      if (page.allows(access)) {
        return UserPage{PageRef::from_pa(page.pa()), area->permission(), Frame::share(page.pa())};
      }
    }
    if (!handle_page_fault(table, {va, access})) return std::nullopt;
  }
}

// --- Fork ---

namespace {

/// While it lives, the space's private pages cannot be written: a thread that tries faults, and waits for the
/// lock that fork holds. So the pages are copied as they were at one moment. Copied one by one under writers,
/// a child could see what a thread wrote second and not what it wrote first; its C library walks a list that
/// was being changed, and never comes to the end.
class [[nodiscard]] WritersHeldBack {
 public:
  WritersHeldBack(PageTable& table, const AreaIndex& areas) : table_(table), areas_(areas) {
    change([](Permission permission) { return permission.without_write(); });
  }
  WritersHeldBack(const WritersHeldBack&) = delete;
  WritersHeldBack& operator=(const WritersHeldBack&) = delete;
  ~WritersHeldBack() {
    change([](Permission permission) { return permission; });
  }

 private:
  template <class Rights>
  void change(Rights&& rights) {
    TlbBatch batch(table_.space());
    for (const VmArea& area : areas_.all()) {
      if (area.is_shared() || !area.permission().writable()) continue;
      const Result<> changed =
          table_.protect(area.range(), rights(area.permission()), batch, GrantWrite::Always);
      ASSERT(changed.has_value());  // nothing here is shared between tables or large
    }
  }

  PageTable& table_;
  const AreaIndex& areas_;
};

/// Gives the child the parent's page: the same frame where the area is shared, a copy otherwise.
Result<> copy_page(PageTable& table, PageTable& child_table, const VmArea& area, Va page) {
  const EntryRef original = TRY(table.locate(page));
  Frame frame;
  bool retained;
  {
    const LockedEntry entry = original.lock();
    const Pte parent = entry.get();
    if (parent.is_empty()) return {};
    frame = Frame::share(parent.pa());
    retained = parent.is_retained();
  }
  if (!area.is_shared()) {
    Frame copy = TRY(allocate_or_reclaim(FrameContents::Any));
    copy.page().copy_from(frame.page());
    frame = std::move(copy);
  }
  const LockedEntry entry = TRY(child_table.walk_mut(page));
  // Truncation removes the parent's page, then looks for the child's. If the parent's is gone, the child may
  // have been passed by; if not, the child's turn comes after this lock.
  if (original.peek().is_empty()) return {};
  const Permission permission = retained ? Permission::none() : area.permission();
  entry.install(std::move(frame), permission, software_bits(area),
                !area.is_shared() && permission.writable());
  return {};
}

}  // namespace

Result<> EagerPager::copy_pages(PageTable& table, PageTable& child_table, const VmArea& area) {
  std::array<std::uint64_t, 64> pages;
  for (Va from = area.start(); from < area.end();) {
    std::size_t found = 0;
    table.for_each_page(VaRange(from, area.end()), [&](Va page, Pte) {
      pages[found++] = page.value();
      return found < pages.size();
    });
    for (std::size_t i = 0; i < found; ++i) TRY(copy_page(table, child_table, area, Va::checked(pages[i])));
    if (found < pages.size()) break;
    from = Va::checked(pages[found - 1]) + kPageSize;
  }
  return {};
}

Result<EagerPager> EagerPager::fork(PageTable& table, PageTable& child_table) {
  EagerPager child;
  // The areas first: truncation must find the child's, and behind the parent's, before pages are copied.
  TRY(copy_areas_to(child, child_table.space()));
  const WritersHeldBack writers(table, areas_);
  for (const VmArea& area : child.areas_.all()) {
    const Result<> copied = copy_pages(table, child_table, area);
    if (!copied) {
      child.clear(child_table);
      return failure(copied.error());
    }
  }
  return child;
}

}  // namespace faultline
