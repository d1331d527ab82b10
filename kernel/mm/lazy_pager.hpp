#pragma once
// LazyPager: pages come to be when they are first touched, and are copied when they are first written.
//
// mmap records an area and makes no page-table page. A fault then ends in one of
//
//   entry empty                         do_lazy_load      the loader's page is installed
//   entry present, write, private       do_copy_on_write  a copy replaces it, or its sole owner takes it over
//   entry already allows the access     spurious          another thread was faster, or a TLB was behind
//   no area, or it forbids the access   error             the process gets a signal
//
// Anonymous memory that is read first maps the shared zero page. A private file mapping reads the page
// cache's own frames.

#include "kernel/mm/area_pager.hpp"

namespace faultline {

/// Members as the concept Pager says; comments tell what differs.
class LazyPager : public AreaPager {
 public:
  static constexpr PagerTraits kTraits{.name = "lazy"};

  LazyPager() = default;
  LazyPager(LazyPager&&) noexcept = default;
  LazyPager& operator=(LazyPager&&) noexcept = default;

  /// Reads nothing and makes no page-table page.
  [[nodiscard]] Result<VaRange> mmap(PageTable& table, Va start, std::size_t size, Permission permission,
                                     RegularFile* file, std::uint64_t offset,
                                     Sharing sharing = Sharing::Private,
                                     EmptyFile empty = EmptyFile::Refused);
  /// Maps private memory whose pages come from `source`, page 0 at its address `ipa`. Errors as mmap.
  [[nodiscard]] Result<VaRange> mmap(PageTable& table, Va start, std::size_t size, Permission permission,
                                     Ref<PageSource> source, std::uint64_t ipa);

  [[nodiscard]] Result<> protect(PageTable& table, VaRange range, Permission permission);
  [[nodiscard]] Result<> advise(PageTable& table, VaRange range, Advice advice);
  [[nodiscard]] Result<VaRange> move(PageTable& table, VaRange from, Va to, std::size_t size);
  [[nodiscard]] Result<> grow_down(PageTable& table, VmArea& area, Va start);
  [[nodiscard]] std::optional<UserPage> get_user_page(PageTable& table, Va va, Access access);

  [[nodiscard]] Result<> handle_page_fault(PageTable& table, const PageFaultReason& reason);
  /// Loads a page that is not there yet; does nothing when it is. Errors as handle_page_fault.
  [[nodiscard]] Result<> do_lazy_load(PageTable& table, const PageFaultReason& reason);
  /// Makes a present page writable, by copying it if it has other owners; does nothing when it is not there,
  /// or writable already. Errors as handle_page_fault.
  [[nodiscard]] Result<> do_copy_on_write(PageTable& table, const PageFaultReason& reason);

  /// A pager with the same areas, for another space. Error: OutOfMemory.
  [[nodiscard]] Result<LazyPager> clone(Space& space) const;

  /// fork(2)'s memory half: the child's MmStruct, and this one's private pages write-protected; returns after
  /// every hart that runs the parent has forgotten its write rights. Error: OutOfMemory.
  [[nodiscard]] static Result<MmStruct<LazyPager>> write_protect_ptes(MmStruct<LazyPager>& parent);
  /// What write_protect_ptes does to the pager and its table: clone, and the child's table shares this one's
  /// pages, copy-on-write where they are private.
  [[nodiscard]] Result<LazyPager> fork(PageTable& table, PageTable& child_table);

 private:
  using Step = Result<> (LazyPager::*)(PageTable& table, const PageFaultReason& reason);
  /// Takes a step for somebody who has not looked up the area and the entry.
  [[nodiscard]] Result<> look_up_and_take(Step step, PageTable& table, const PageFaultReason& reason);
  /// Finds out what an access that the area allows waits for, and takes that step.
  [[nodiscard]] Result<> resolve(PageTable& table, const VmArea& area, Va va, Access access);
  /// get_user_page where the page is not there yet, or may not be written.
  [[nodiscard]] std::optional<UserPage> make_and_pin(PageTable& table, const VmArea& area, Va va,
                                                     Access access);
  void populate(PageTable& table, const VmArea& area, VaRange part);
};

static_assert(Pager<LazyPager>);

}  // namespace faultline
