#include "kernel/mm/area_pages.hpp"

#include <array>
#include <span>

namespace faultline::area_pages {

namespace {

/// A read fault on a file maps this many neighbours, if they are in memory: an aligned group, so all in one
/// table.
constexpr std::size_t kMapAround = 16;
static_assert(kEntriesPerTable % kMapAround == 0);

/// Gives a page all the rights of its area, for this hart at once.
void widen_here(const Space& space, const LockedEntry& locked, const VmArea& area) {
  locked.widen(area.permission(), true);
  space.refresh_local(locked.va());
}

}  // namespace

Result<Frame> frame_for(const VmArea& area, Va page) {
  LoadedPage loaded = TRY(load_page(area.loader(), area.page_index(page)));
  if (loaded.kind == LoadedPage::Kind::Zero) return allocate_or_reclaim(FrameContents::Zeroed);
  if (loaded.kind == LoadedPage::Kind::Fresh || area.is_shared()) return std::move(loaded.frame);
  Frame copy = TRY(allocate_or_reclaim(FrameContents::Any));
  copy.page().copy_from(loaded.frame.page());
  return copy;
}

Result<> load_cached(const EntryRef& entry, const VmArea& area, bool write) {
  const Va page = entry.va();
  RegularFile& file = *area.file();
  const Untruncated untruncated(area);
  const VaRange group = group_around(area, page, kMapAround * kPageSize);
  const auto mine = static_cast<std::size_t>(page - group.start()) / kPageSize;
  std::array<Frame, kMapAround> frames;
  file.cached_pages(area.page_index(group.start()), std::span(frames).first(group.pages()));
  if (!frames[mine]) frames[mine] = TRY(file.page(area.page_index(page)));
  if (write) file.mark_dirty(area.page_index(page));

  prepare_execution(area);
  const Permission reading = area.permission().without_write();
  LockedEntry locked = entry.lock();
  if (!untruncated.holds() || !locked.get().is_empty()) return {};
  locked.install(std::move(frames[mine]), write ? area.permission() : reading, software_bits(area), write);
  std::uint64_t around = 0;
  for (std::size_t i = 0; i < group.pages(); ++i) {
    if (!frames[i]) continue;
    locked.select(group.start() + i * kPageSize);
    if (!locked.get().is_empty()) continue;
    locked.install(std::move(frames[i]), reading, software_bits(area), false);
    ++around;
  }
  count(Counter::FileFault);
  count(Counter::FileMappedAround, around);
  return {};
}

Result<> load_private(const EntryRef& entry, const VmArea& area) {
  const Untruncated untruncated(area);
  Frame frame = TRY(frame_for(area, entry.va()));
  prepare_execution(area);
  const LockedEntry locked = entry.lock();
  if (!untruncated.holds() || !locked.get().is_empty()) return {};
  locked.install(std::move(frame), area.permission(), 0, area.permission().writable());
  count(area.file() != nullptr ? Counter::FileFault : Counter::SourceFault);
  return {};
}

Result<> write_shared_page(const Space& space, const EntryRef& entry, const VmArea& area) {
  area.file()->mark_dirty(area.page_index(entry.va()));
  const LockedEntry locked = entry.lock();
  if (!locked.get().is_leaf()) return {};
  widen_here(space, locked, area);
  return {};
}

Result<> break_copy_on_write(const Space& space, const EntryRef& entry, const VmArea& area, Pte seen) {
  // The hart may have set A and D meanwhile.
  const auto unchanged = [&](Pte now) {
    return now.is_leaf() && ((now.raw() ^ seen.raw()) & ~(Pte::kAccessed | Pte::kDirty)) == 0;
  };
  Frame original;
  if (seen.is_counted()) {
    const LockedEntry locked = entry.lock();
    if (!unchanged(locked.get())) return {};
    // Other owners can only come from this entry, and the lock covers it: a sole owner stays one.
    if (Frame::has_sole_owner(seen.pa())) {
      widen_here(space, locked, area);
      count(Counter::CopyOnWriteTakeover);
      return {};
    }
    original = Frame::share(seen.pa());
  }
  // The zero page needs no original: a zeroed frame is its copy.
  Frame copy = TRY(allocate_or_reclaim(original ? FrameContents::Any : FrameContents::Zeroed));
  if (original) copy.page().copy_from(original.page());
  prepare_execution(area);

  const LockedEntry locked = entry.lock();
  if (!unchanged(locked.get())) return {};
  locked.replace(std::move(copy), area.permission(), true);
  count(original ? Counter::CopyOnWrite : Counter::DemandZero);
  return {};
}

void set_accessed(const Space& space, const EntryRef& entry, Access access) {
  count(Counter::SpuriousFault);
  const LockedEntry locked = entry.lock();
  const Pte now = locked.get();
  if (now.is_leaf() && !now.allows(access)) locked.widen(now.permission(), access == Access::Write);
  space.refresh_local(locked.va());
}

}  // namespace faultline::area_pages
