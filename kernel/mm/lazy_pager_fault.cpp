// LazyPager: page faults. The steps that make a page are in area_pages.hpp; what is decided here is which of
// them a fault needs.
//
// A write to memory never touched is the fault that counts. What it does not need stays out of line, so that
// it saves few registers; the area and the entry that handle_page_fault has found travel in the reason, so
// that the steps need not look for them again.

#include "kernel/mm/area_pages.hpp"
#include "kernel/mm/lazy_pager.hpp"

namespace faultline {

namespace {

/// Whether the area at an address, if there is one, allows the access. Errors: NotMapped, AccessDenied.
inline Result<> check_access(const VmArea* area, Access access) {
  if (area == nullptr) return failure(KernelError::NotMapped);
  if (!area->permission().allows(access)) return failure(KernelError::AccessDenied);
  return {};
}

}  // namespace

[[gnu::noinline]] Result<> LazyPager::look_up_and_take(Step step, PageTable& table,
                                                       const PageFaultReason& reason) {
  const VmArea* const area = areas_.find(reason.address);
  TRY(check_access(area, reason.access));
  const EntryRef place = TRY(table.locate(reason.address));
  return (this->*step)(table, {reason.address, reason.access, reason.entry, area, &place});
}

Result<> LazyPager::do_lazy_load(PageTable& table, const PageFaultReason& reason) {
  if (reason.place == nullptr) return look_up_and_take(&LazyPager::do_lazy_load, table, reason);
  return area_pages::load(*reason.place, *reason.area, reason.access);
}

Result<> LazyPager::do_copy_on_write(PageTable& table, const PageFaultReason& reason) {
  if (reason.place == nullptr) return look_up_and_take(&LazyPager::do_copy_on_write, table, reason);
  const Pte seen = reason.place->peek();
  if (seen.is_empty() || seen.permission().writable()) return {};
  return area_pages::make_writable(table.space(), *reason.place, *reason.area, seen);
}

[[gnu::always_inline]] inline Result<> LazyPager::resolve(PageTable& table, const VmArea& area, Va va,
                                                          Access access) {
  std::optional<EntryRef> place = table.find(va);
  while (!place) [[unlikely]] {
    TRY(table.make_tables(va));
    place = table.find(va);
  }
  const Pte seen = place->peek();
  using Entry = PageFaultReason::Entry;
  const PageFaultReason reason{va, access, seen.is_empty() ? Entry::Missing : Entry::Present, &area, &*place};
  if (reason.is_demand_paging_fault()) return do_lazy_load(table, reason);
  if (reason.is_cow_fault() && !seen.permission().writable()) return do_copy_on_write(table, reason);
  area_pages::set_accessed(table.space(), *place, access);
  return {};
}

Result<> LazyPager::handle_page_fault(PageTable& table, const PageFaultReason& reason) {
  const VmArea* const area = areas_.find(reason.address);
  TRY(check_access(area, reason.access));
  return resolve(table, *area, reason.address, reason.access);
}

// --- Faults in advance ---

void LazyPager::populate(PageTable& table, const VmArea& area, VaRange part) {
  const Permission permission = area.permission();
  if (permission.is_none()) return;
  const bool write = permission.writable() && !area.is_shared();
  const Access access = write ? Access::Write : permission.readable() ? Access::Read : Access::Execute;
  for (Va page = part.start(); page < part.end();) {
    if (!resolve(table, area, page, access)) return;
    const std::optional<EntryRef> entry = table.find(page);
    if (entry && entry->peek().allows(access)) page = page + kPageSize;
  }
}

// --- Pages for the kernel ---

namespace {

/// The page at an address if it is there and its entry allows the access, pinned.
[[gnu::always_inline]] inline std::optional<UserPage> pin_present(const PageTable& table, const VmArea& area,
                                                                  Va va, Access access) {
  const std::optional<EntryRef> found = table.find(va);
  if (!found) return std::nullopt;
  const LockedEntry entry = found->lock();
  const Pte page = entry.get();
  if (!page.allows(access)) return std::nullopt;
  // Under the lock nobody can replace the page before it is pinned.
  return UserPage{PageRef::from_pa(page.pa()), area.permission(),
                  page.is_counted() ? Frame::share(page.pa()) : Frame()};
}

}  // namespace

std::optional<UserPage> LazyPager::get_user_page(PageTable& table, Va va, Access access) {
  const VmArea* area = areas_.find(va);
  if (area == nullptr || !area->permission().allows(access)) return std::nullopt;
  if (std::optional<UserPage> page = pin_present(table, *area, va, access)) [[likely]]
    return page;
  return make_and_pin(table, *area, va, access);
}

// Out of line, so that a page that is there costs few registers.
[[gnu::noinline]] std::optional<UserPage> LazyPager::make_and_pin(PageTable& table, const VmArea& area, Va va,
                                                                  Access access) {
  while (resolve(table, area, va, access)) {
    if (std::optional<UserPage> page = pin_present(table, area, va, access)) return page;
  }
  return std::nullopt;
}

}  // namespace faultline
