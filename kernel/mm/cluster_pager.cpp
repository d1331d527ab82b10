#include "kernel/mm/cluster_pager.hpp"

#include "kernel/mm/area_pages.hpp"

namespace faultline {

namespace {

constexpr std::uint64_t kGroupSize = 64 * 1024;
static_assert(kEntriesPerTable * kPageSize % kGroupSize == 0);  // all entries of a group stand in one table

/// Whether a fault at this address finds no page, so that it pages on demand.
bool never_touched(const PageTable& table, Va va) {
  const std::optional<EntryRef> entry = table.find(va);
  return !entry || entry->peek().is_empty();
}

}  // namespace

Result<> ClusterPager::handle_page_fault(PageTable& table, const PageFaultReason& reason) {
  const bool demand = never_touched(table, reason.address);
  TRY(LazyPager::handle_page_fault(table, reason));
  // Nobody else removes areas or tables while this runs (pager.hpp); other faults may fill entries meanwhile.
  const VmArea& area = *areas_.find(reason.address);
  if (!demand || !area.is_anonymous()) return {};
  const VaRange group = area_pages::group_around(area, reason.address, kGroupSize);
  for (Va page = group.start(); page < group.end(); page = page + kPageSize) {
    const std::optional<EntryRef> entry = table.find(page);
    if (!entry || !entry->peek().is_empty()) continue;
    if (!area_pages::load_zeroes(*entry, area, reason.access, Frame::allocate)) break;
  }
  return {};
}

Result<ClusterPager> ClusterPager::fork(PageTable& table, PageTable& child_table) {
  return ClusterPager(TRY(LazyPager::fork(table, child_table)));
}

}  // namespace faultline
