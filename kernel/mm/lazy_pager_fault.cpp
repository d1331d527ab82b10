// LazyPager: page faults.
//
// A fault looks at the entry without its lock, prepares what it needs (which may sleep), then takes the
// table's lock and looks again. If the entry is not what it was, somebody else was faster, and the fault
// starts over; so it does when the file was truncated between asking for its page and installing it
// (regular_file.hpp).
//
// Fences of this hart. A new page gets none: harts need not remember that an entry was not valid (those with
// Svvptc never do, nor does QEMU), and one that does faults once more. That fault is spurious: it finds that
// the entry allows the access, and fences. A page that gains rights where it stands is another matter: the
// hart has just refused the access by the old entry, and surely still has it.
//
// A write to memory never touched is the fault that counts. What it does not need stays out of line, so that
// it saves few registers.

#include <array>

#include "kernel/mm/lazy_pager.hpp"
#include "kernel/mm/memory_system.hpp"
#include "kernel/mm/statistics.hpp"

namespace faultline {

namespace {

/// What one try came to. Another thread, or a truncation, may have been faster between looking and locking:
/// then the fault looks again.
enum class Attempt : std::uint8_t { Done, Retry };

/// A read fault on a file maps this many neighbours, if they are in memory: an aligned group, so all in one
/// table.
constexpr std::size_t kMapAround = 16;
static_assert(kEntriesPerTable % kMapAround == 0);

std::uint64_t software_bits(const VmArea& area) { return area.is_shared() ? Pte::kSharedMapping : 0; }

/// The group of pages around `page` that one fault maps, as far as it lies in the area.
VaRange group_around(const VmArea& area, Va page) {
  const std::uint64_t start = page.value() & ~(kMapAround * kPageSize - 1);
  return VaRange(std::max(area.start(), Va::checked(start)),
                 std::min(area.end(), Va::checked(start + kMapAround * kPageSize)));
}

/// Before new bytes become executable: no hart may fetch what its instruction cache kept of the frame's past.
void prepare_execution(const VmArea& area) {
  if (area.permission().executable()) platform::synchronize_instructions();
}

// --- An empty entry ---

Result<Attempt> load_zeroes(const EntryRef& entry, const VmArea& area, Access access) {
  if (access != Access::Write) {
    const LockedEntry locked = entry.lock();
    if (!locked.get().is_empty()) return Attempt::Retry;
    locked.install_uncounted(MemorySystem::current().zero_page(), area.permission().without_write(), 0);
    count(Counter::ZeroPageMapped);
    return Attempt::Done;
  }
  Frame frame = TRY(allocate_or_reclaim(FrameContents::Zeroed));
  const LockedEntry locked = entry.lock();
  if (!locked.get().is_empty()) return Attempt::Retry;
  locked.install(std::move(frame), area.permission(), 0, true);
  count(Counter::DemandZero);
  return Attempt::Done;
}

[[gnu::noinline]] Result<Attempt> load_cached(EntryRef entry, const VmArea& area, Va page, bool write) {
  RegularFile& file = *area.file();
  const std::uint32_t truncations = file.truncations();
  const VaRange group = group_around(area, page);
  const auto mine = static_cast<std::size_t>(page - group.start()) / kPageSize;
  std::array<Frame, kMapAround> frames;
  file.cached_pages(area.page_index(group.start()), std::span(frames).first(group.pages()));
  if (!frames[mine]) frames[mine] = TRY(file.page(area.page_index(page)));
  if (write) file.mark_dirty(area.page_index(page));

  prepare_execution(area);
  const Permission reading = area.permission().without_write();
  LockedEntry locked = entry.lock();
  if (file.truncations() != truncations || !locked.get().is_empty()) return Attempt::Retry;
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
  return Attempt::Done;
}

/// A page of the space's own: a private copy of a file's page, or what a page source delivers.
[[gnu::noinline]] Result<Attempt> load_private(EntryRef entry, const VmArea& area, Va page) {
  RegularFile* const file = area.file();
  const std::uint32_t truncations = file != nullptr ? file->truncations() : 0;
  LoadedPage loaded = TRY(load_page(area.loader(), area.page_index(page)));
  if (loaded.kind == LoadedPage::Kind::Cached) {
    Frame copy = TRY(allocate_or_reclaim(FrameContents::Any));
    copy.page().copy_from(loaded.frame.page());
    loaded.frame = std::move(copy);
  }
  prepare_execution(area);
  const LockedEntry locked = entry.lock();
  if ((file != nullptr && file->truncations() != truncations) || !locked.get().is_empty())
    return Attempt::Retry;
  locked.install(std::move(loaded.frame), area.permission(), 0, area.permission().writable());
  count(file != nullptr ? Counter::FileFault : Counter::SourceFault);
  return Attempt::Done;
}

Result<Attempt> load(const EntryRef& entry, const VmArea& area, Va page, Access access) {
  if (area.is_anonymous()) return load_zeroes(entry, area, access);
  const bool write = access == Access::Write;
  if (area.file() != nullptr && (area.is_shared() || !write)) return load_cached(entry, area, page, write);
  return load_private(entry, area, page);
}

// --- A present page that may not be written yet ---

/// Gives a page all the rights of its area, for this hart at once.
void make_writable(const Space& space, const LockedEntry& locked, const VmArea& area) {
  locked.widen(area.permission(), true);
  space.refresh_local(locked.va());
}

[[gnu::noinline]] Result<Attempt> write_shared(const Space& space, EntryRef entry, const VmArea& area) {
  area.file()->mark_dirty(area.page_index(entry.va()));
  const LockedEntry locked = entry.lock();
  if (!locked.get().is_leaf()) return Attempt::Retry;
  make_writable(space, locked, area);
  return Attempt::Done;
}

[[gnu::noinline]] Result<Attempt> break_copy_on_write(const Space& space, EntryRef entry, const VmArea& area,
                                                      Pte seen) {
  // The hart may have set A and D meanwhile.
  const auto unchanged = [&](Pte now) {
    return now.is_leaf() && ((now.raw() ^ seen.raw()) & ~(Pte::kAccessed | Pte::kDirty)) == 0;
  };
  Frame original;
  if (seen.is_counted()) {
    const LockedEntry locked = entry.lock();
    if (!unchanged(locked.get())) return Attempt::Retry;
    // Other owners can only come from this entry, and the lock covers it: a sole owner stays one.
    if (platform::frame_info(seen.pa()).references.load(std::memory_order_acquire) == 1) {
      make_writable(space, locked, area);
      count(Counter::CopyOnWriteTakeover);
      return Attempt::Done;
    }
    original = Frame::share(seen.pa());
  }
  // The zero page needs no original: a zeroed frame is its copy.
  Frame copy = TRY(allocate_or_reclaim(original ? FrameContents::Any : FrameContents::Zeroed));
  if (original) copy.page().copy_from(original.page());
  prepare_execution(area);

  const LockedEntry locked = entry.lock();
  if (!unchanged(locked.get())) return Attempt::Retry;
  locked.replace(std::move(copy), area.permission(), true);
  count(original ? Counter::CopyOnWrite : Counter::DemandZero);
  return Attempt::Done;
}

/// The entry allows the access: this hart's TLB is behind, or the hart leaves setting A and D to us.
[[gnu::noinline]] void set_accessed(const Space& space, EntryRef entry, Access access) {
  count(Counter::SpuriousFault);
  const LockedEntry locked = entry.lock();
  const Pte now = locked.get();
  if (now.is_leaf() && !now.allows(access)) locked.widen(now.permission(), access == Access::Write);
  space.refresh_local(locked.va());
}

// --- The fault ---

/// Whether the area at an address, if there is one, allows the access. Errors: NotMapped, AccessDenied.
inline Result<> check_access(const VmArea* area, Access access) {
  if (area == nullptr) return failure(KernelError::NotMapped);
  if (!area->permission().allows(access)) return failure(KernelError::AccessDenied);
  return {};
}

/// One try.
[[gnu::noinline]] Result<Attempt> attempt(PageTable& table, const VmArea& area, Va va, Access access) {
  const std::optional<EntryRef> entry = table.find(va);
  if (!entry) [[unlikely]] {
    TRY(table.make_tables(va));
    return Attempt::Retry;
  }
  const Pte seen = entry->peek();
  using Entry = PageFaultReason::Entry;
  const PageFaultReason reason{va, access, seen.is_empty() ? Entry::Missing : Entry::Present};
  if (reason.is_demand_paging_fault()) return load(*entry, area, va.page(), access);
  if (reason.is_cow_fault() && !seen.permission().writable()) {
    return area.is_shared() ? write_shared(table.space(), *entry, area)
                            : break_copy_on_write(table.space(), *entry, area, seen);
  }
  set_accessed(table.space(), *entry, access);
  return Attempt::Done;
}

/// Makes an access possible that the area allows.
inline Result<> make_possible(PageTable& table, const VmArea& area, Va va, Access access) {
  while (TRY(attempt(table, area, va, access)) != Attempt::Done) {
  }
  return {};
}

}  // namespace

Result<> LazyPager::handle_page_fault(PageTable& table, const PageFaultReason& reason) {
  count(Counter::PageFault);
  const VmArea* const area = areas_.find(reason.address);
  Result<> result = check_access(area, reason.access);
  if (result) result = make_possible(table, *area, reason.address, reason.access);
  if (!result) [[unlikely]]
    count(Counter::FailedFault);
  return result;
}

Result<> LazyPager::resolve(PageTable& table, const VmArea& area, Va va, Access access) {
  return make_possible(table, area, va, access);
}

Result<> LazyPager::do_lazy_load(PageTable& table, const PageFaultReason& reason) {
  const VmArea* const area = areas_.find(reason.address);
  TRY(check_access(area, reason.access));
  if (table.walk(reason.address)) return {};
  return resolve(table, *area, reason.address, reason.access);
}

Result<> LazyPager::do_copy_on_write(PageTable& table, const PageFaultReason& reason) {
  const VmArea* const area = areas_.find(reason.address);
  TRY(check_access(area, Access::Write));
  const std::optional<Translation> found = table.walk(reason.address);
  if (!found || found->entry.permission().writable()) return {};
  return resolve(table, *area, reason.address, Access::Write);
}

}  // namespace faultline
