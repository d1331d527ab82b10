#pragma once
// What every pager that keeps areas has in common: checking arguments, splitting and joining areas,
// unmapping, moving. The policies derive from it and add when pages are made and who may write them.

#include <cstdint>
#include <optional>

#include "kernel/mm/pager.hpp"

namespace faultline {

/// The concept Pager (pager.hpp) says what its members take, return and refuse; what has no comment here does
/// exactly that.
class AreaPager {
 public:
  AreaPager() = default;
  AreaPager(AreaPager&&) noexcept = default;
  AreaPager& operator=(AreaPager&&) noexcept = default;

  [[nodiscard]] Result<std::size_t> munmap(PageTable& table, Va start);
  /// Errors: InvalidArgument for a range that is unaligned or empty; OutOfMemory when a mapping or a shared
  /// table cannot be split; nothing has changed then.
  [[nodiscard]] Result<std::size_t> munmap(PageTable& table, VaRange range);
  [[nodiscard]] bool access_ok(Va va, Access access) const;
  void clear(PageTable& table);

  /// Makes protect refuse write rights, for ever, on the areas in a range that begins and ends at area
  /// boundaries.
  void forbid_write(VaRange range);

  /// Gives the areas in the range some flags and takes others away. Error: OutOfMemory; nothing has changed.
  [[nodiscard]] Result<> change_flags(VaRange range, AreaFlags given, AreaFlags taken);

  const AreaIndex& areas() const { return areas_; }

  /// Writes the dirty pages of shared file mappings in the range to their files (msync). May sleep. Errors:
  /// NotMapped when part of the range is not mapped, after the rest is written; InputOutput.
  [[nodiscard]] Result<> synchronize(PageTable& table, VaRange range);

 protected:
  ~AreaPager() = default;

  /// The page range that mmap's arguments describe. Error: InvalidArgument.
  [[nodiscard]] Result<VaRange> check_new_range(Va start, std::size_t size, std::uint64_t offset) const;

  /// The loader for mmap's file arguments; shared anonymous memory gets a file of its own.
  /// Errors: InvalidArgument for a file of length zero; OutOfMemory.
  [[nodiscard]] static Result<AnyLoader> loader_for(RegularFile* file, VaRange range, Sharing sharing,
                                                    EmptyFile empty);

  /// Records an area for a range that check_new_range passed. Errors: AlreadyMapped, OutOfMemory.
  [[nodiscard]] Result<VmArea*> add_area(PageTable& table, VaRange range, Permission permission,
                                         Sharing sharing, AnyLoader loader, std::uint64_t first_index);

  /// True when areas cover the range without a hole.
  bool covers(VaRange range) const;

  /// Errors of protect: InvalidArgument (unaligned), NotMapped, AccessDenied (forbid_write).
  [[nodiscard]] Result<> check_protect(VaRange range, Permission permission) const;

  /// Cuts areas so that the range begins and ends at area boundaries. Error: OutOfMemory; nothing has
  /// changed.
  [[nodiscard]] Result<> split_at_ends(VaRange range);
  /// Joins pieces around and in the range that only a boundary keeps apart.
  void join_pieces(VaRange range);

  /// What will be free around the range once nothing is mapped in it.
  VaRange gap_after_removal(VaRange range) const;

  /// Removes whole areas in the range, which begins and ends at area boundaries, and their pages; `gap` is
  /// what is free afterwards. Cannot fail: shared tables are resolved before.
  std::size_t remove_areas(PageTable& table, VaRange range, VaRange gap);

  /// Removes the pages of a part of an area; the area stays.
  static void remove_area_pages(PageTable& table, VmArea& area, VaRange part, VaRange whole, TlbBatch& batch);

  /// The common part of mremap; new pages appear as after mmap without being loaded.
  [[nodiscard]] Result<VaRange> move_area(PageTable& table, VaRange from, Va to, std::size_t size);

  /// Copies all areas into an empty pager of another space. Error: OutOfMemory.
  [[nodiscard]] Result<> copy_areas_to(AreaPager& child, Space& child_space) const;

  /// Drops all areas, of a space without pages.
  void forget_areas();

  AreaIndex areas_;
  std::uint64_t next_mapping_ = 1;

 private:
  /// True when removing the range only moves one end of the area, which needs no new area.
  static bool shortens(VaRange range, const VmArea& area);
  void shorten_area(PageTable& table, VmArea& area, VaRange range, VaRange gap);

  [[nodiscard]] Result<VaRange> resize_area(PageTable& table, VmArea& area, VaRange from, std::size_t size);
};

}  // namespace faultline
