#pragma once
// EagerPager: every page is allocated, filled and mapped inside mmap; nothing faults afterwards, and fork
// copies.
//
// Exceptions, each forced by what cannot be had in advance:
//   - a mapping without any right (PROT_NONE) gets its pages when protect first gives it one;
//   - pages past the end of a file do not exist; if the file grows, they are loaded at the first access;
//   - harts that do not set A and D, or that remember an entry as it was before it had all its rights, fault
//     once on a present page;
//   - a thread that writes while another forks waits for the end of that.
// A private mapping of a file copies its pages; a shared one maps the page cache's frames.

#include "kernel/mm/area_pager.hpp"

namespace faultline {

/// Members as the concept Pager says; comments tell what differs.
class EagerPager : public AreaPager {
 public:
  static constexpr PagerTraits kTraits{.name = "eager", .loads_in_mmap = true, .copies_in_fork = true};

  EagerPager() = default;
  EagerPager(EagerPager&&) noexcept = default;
  EagerPager& operator=(EagerPager&&) noexcept = default;

  /// Also InputOutput when the file cannot be read.
  [[nodiscard]] Result<VaRange> mmap(PageTable& table, Va start, std::size_t size, Permission permission,
                                     RegularFile* file, std::uint64_t offset,
                                     Sharing sharing = Sharing::Private,
                                     EmptyFile empty = EmptyFile::Refused);
  /// Maps private memory whose pages come from `source`, page 0 at its address `ipa`. Errors as mmap.
  [[nodiscard]] Result<VaRange> mmap(PageTable& table, Va start, std::size_t size, Permission permission,
                                     Ref<PageSource> source, std::uint64_t ipa);

  /// Also the errors of mmap, where a mapping gets its first right and with it its pages. After any error
  /// everything is as before, but for empty tables whose span reaches into another mapping.
  [[nodiscard]] Result<> protect(PageTable& table, VaRange range, Permission permission);
  /// DontNeed rewrites the pages where they stand; InputOutput or OutOfMemory when their file cannot be read.
  [[nodiscard]] Result<> advise(PageTable& table, VaRange range, Advice advice);
  [[nodiscard]] Result<VaRange> move(PageTable& table, VaRange from, Va to, std::size_t size);
  [[nodiscard]] Result<> grow_down(PageTable& table, VmArea& area, Va start);
  [[nodiscard]] std::optional<UserPage> get_user_page(PageTable& table, Va va, Access access);
  /// What remains to fault: the exceptions above.
  [[nodiscard]] Result<> handle_page_fault(PageTable& table, const PageFaultReason& reason);
  /// Copies every private page now.
  [[nodiscard]] Result<EagerPager> fork(PageTable& table, PageTable& child_table);

 private:
  [[nodiscard]] Result<VaRange> map_now(PageTable& table, VaRange range, Permission permission,
                                        Sharing sharing, AnyLoader loader, std::uint64_t first_index);
  /// Frees the tables without entries that serve only mappings without rights in the range.
  void free_empty_tables(PageTable& table, VaRange range);
  static Result<> copy_pages(PageTable& table, PageTable& child_table, const VmArea& area);
};

static_assert(Pager<EagerPager>);

}  // namespace faultline
