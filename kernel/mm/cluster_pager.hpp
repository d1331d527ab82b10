#pragma once
// ClusterPager: LazyPager, but a fault on anonymous memory that was never touched makes its neighbours too.
//
// A program that touches a page mostly touches the next ones soon; a fault costs more than a page. So one
// that finds an empty entry fills the aligned group of 64 KiB around it, as far as it lies in the area, in
// the way the access asks for: zeroed frames after a write, the shared zero page after a read. What it costs:
// frames that nobody may ever want.
//
// The neighbours are best effort. None of them takes a frame that must be reclaimed first, and none makes the
// fault fail.

#include "kernel/mm/lazy_pager.hpp"

namespace faultline {

/// Members as the concept Pager says; comments tell what differs.
class ClusterPager : public LazyPager {
 public:
  static constexpr PagerTraits kTraits{.name = "cluster", .may_load_neighbours = true};

  ClusterPager() = default;

  [[nodiscard]] Result<> handle_page_fault(PageTable& table, const PageFaultReason& reason);
  [[nodiscard]] Result<ClusterPager> fork(PageTable& table, PageTable& child_table);

 private:
  explicit ClusterPager(LazyPager areas) noexcept : LazyPager(std::move(areas)) {}
};

static_assert(Pager<ClusterPager>);

}  // namespace faultline
