// Memory: mmap and its family. The pager decides; here Linux's flags and the order of its error checks are
// translated.
//
// PROT_WRITE without PROT_READ gives both: Sv39 has no write-only pages, and Linux (since 6.1) does the same.
// The area remembers what was asked.

#include "kernel/fs/write_back.hpp"
#include "kernel/mm/page_cache.hpp"
#include "kernel/proc/process.hpp"
#include "kernel/proc/signal.hpp"
#include "kernel/sched/scheduler.hpp"
#include "kernel/syscall/system_calls.hpp"
#include "kernel/syscall/user_path.hpp"

namespace faultline::system_call {

namespace {

constexpr std::uint32_t kProtRead = 1, kProtWrite = 2, kProtExecute = 4;
constexpr std::uint32_t kMapShared = 1, kMapPrivate = 2, kMapSharedValidate = 3, kMapTypeMask = 0xf,
                        kMapFixed = 0x10, kMapAnonymous = 0x20, kMapGrowsDown = 0x100, kMapDenyWrite = 0x800,
                        kMapExecutable = 0x1000, kMapLocked = 0x2000, kMapNoReserve = 0x4000,
                        kMapPopulate = 0x8000, kMapNonBlocking = 0x10000, kMapStack = 0x20000,
                        kMapHugePages = 0x40000, kMapFixedNoReplace = 0x100000;
// What MAP_SHARED_VALIDATE accepts; other types ignore what they do not know.
constexpr std::uint32_t kMapKnown = kMapTypeMask | kMapFixed | kMapAnonymous | kMapGrowsDown | kMapDenyWrite |
                                    kMapExecutable | kMapLocked | kMapNoReserve | kMapPopulate |
                                    kMapNonBlocking | kMapStack | kMapHugePages | kMapFixedNoReplace;

SystemMm& mm() { return Process::current().mm(); }

Permission permission_of(std::uint32_t protection) {
  const bool writable = (protection & kProtWrite) != 0;
  const bool readable = writable || (protection & kProtRead) != 0;
  return *Permission::from(readable, writable, (protection & kProtExecute) != 0);
}

WriteOnly write_only(std::uint32_t protection) {
  return (protection & (kProtRead | kProtWrite)) == kProtWrite ? WriteOnly::Yes : WriteOnly::No;
}

// [start, start + size) in whole pages. `beyond` is the error for a range that leaves the user half.
Result<VaRange> page_range(Address start, std::uint64_t size, KernelError beyond) {
  if (!is_page_aligned(start)) return failure(KernelError::InvalidArgument);
  const std::optional<std::uint64_t> rounded = page_ceiling(size);
  if (!rounded) return failure(beyond);
  const Result<VaRange> range = VaRange::from(start, *rounded);
  if (!range) return failure(beyond);
  return *range;
}

struct MappedFile {
  Ref<OpenFile> open;           // keeps a file's inode alive
  Ref<RegularFile> memory;      // shared anonymous memory
  RegularFile* file = nullptr;  // null: private anonymous memory
  bool may_write = true;        // false: mprotect may not make the mapping writable
};

Result<MappedFile> file_to_map(int descriptor, std::uint64_t size, std::uint32_t protection,
                               std::uint32_t flags) {
  const std::uint32_t type = flags & kMapTypeMask;
  MappedFile mapped;
  if ((flags & kMapAnonymous) == 0) mapped.open = TRY(accessible_file(descriptor));
  if (!mapped.open || mapped.open->maps_as_memory()) {
    if (type == kMapPrivate) return mapped;
    const bool promised = (flags & kMapNoReserve) == 0;
    if (promised && size > mm().limits().commitment) return failure(KernelError::OutOfMemory);
    mapped.memory = TRY(make_ref<AnonymousFile>(page_floor(size + kPageSize - 1)));
    mapped.file = mapped.memory.get();
    return mapped;
  }
  const OpenFlags mode = mapped.open->flags();
  if (!mode.readable()) return failure(KernelError::AccessDenied);
  if (type != kMapPrivate && (protection & kProtWrite) != 0 && !mode.writable()) {
    return failure(KernelError::AccessDenied);
  }
  mapped.may_write = type == kMapPrivate || mode.writable();
  mapped.file = mapped.open->inode() == nullptr ? nullptr : mapped.open->inode()->mappable();
  if (mapped.file == nullptr) return failure(KernelError::NoDevice);
  if ((flags & kMapGrowsDown) != 0) return failure(KernelError::InvalidArgument);
  if (type == kMapSharedValidate && (flags & ~kMapKnown) != 0) return failure(KernelError::NotSupported);
  return mapped;
}

AreaFlags area_flags_of(std::uint32_t protection, std::uint32_t flags) {
  AreaFlags area;
  if (write_only(protection) == WriteOnly::Yes) area = area.with(AreaFlag::WriteOnly);
  if ((flags & kMapLocked) != 0) area = area.with(AreaFlag::Locked);
  if ((flags & kMapNoReserve) != 0) area = area.with(AreaFlag::Unreserved);
  if ((flags & kMapGrowsDown) != 0) area = area.with(AreaFlag::GrowsDown);
  return area;
}

// RLIMIT_MEMLOCK binds only who is not privileged.
std::uint64_t lock_limit() {
  return Process::current().credentials.privileged() ? MemoryLimits::kUnlimited : mm().limits().locked;
}

bool may_lock_more(std::uint64_t size) {
  const std::uint64_t limit = lock_limit();
  return limit == MemoryLimits::kUnlimited || mm().locked_bytes() + size <= limit;
}

bool is_mapped(VaRange range) {
  std::uint64_t mapped_to = range.start().value();
  mm().for_each_area([&](const VmArea& area) {
    if (area.start().value() <= mapped_to) mapped_to = std::max(mapped_to, area.end().value());
  });
  return mapped_to >= range.end().value();
}

// Makes every page of a mapped range present. Piece by piece: others on this hart run in between.
Result<> populate(VaRange range) {
  constexpr std::int64_t kPieceBytes = 128 * kPageSize;
  for (Va start = range.start(); start < range.end();) {
    const Va end = start + std::min(kPieceBytes, range.end() - start);
    TRY(mm().advise(VaRange(start, end), Advice::Populate));
    // The pager goes as far as memory allows, and no further than permissions do.
    for (Va page = start; page < end; page = page + kPageSize) {
      if (mm().walk(page)) continue;
      const bool readable = mm().access_ok(VaRange(page, page + kPageSize), Access::Read);
      return failure(readable ? KernelError::OutOfMemory : KernelError::NotMapped);
    }
    start = end;
    scheduler::preemption_point();
    if (signals::current_is_to_leave()) return failure(KernelError::Interrupted);
  }
  return {};
}

Value advise(VaRange range, Advice advice) {
  if (!range.empty()) TRY(mm().advise(range, advice));
  return 0;
}

Value change_flags(VaRange range, AreaFlags given, AreaFlags taken) {
  if (!range.empty()) TRY(mm().change_flags(range, given, taken));
  return 0;
}

// Calls f(const VmArea&) for the areas in a range, until one fails.
template <class F>
Result<> for_areas_in(VaRange range, F f) {
  Result<> result;
  mm().for_each_area([&](const VmArea& area) {
    if (result && area.range().overlaps(range)) result = f(area);
  });
  return result;
}

// MADV_REMOVE makes a hole in a file, which no file system here can.
Value remove_contents(VaRange range) {
  if (range.empty()) return 0;
  TRY(for_areas_in(range, [](const VmArea& area) -> Result<> {
    if (area.flags().has(AreaFlag::Locked) || area.file() == nullptr)
      return failure(KernelError::InvalidArgument);
    const bool changes_file = area.is_shared() && area.may_write();
    return failure(changes_file ? KernelError::NotSupported : KernelError::AccessDenied);
  }));
  return failure(KernelError::NotMapped);
}

Result<> populate_for(VaRange range, Access access) {
  if (!is_mapped(range)) return failure(KernelError::NotMapped);
  if (!mm().access_ok(range, access)) return failure(KernelError::InvalidArgument);
  return populate(range);
}

}  // namespace

Value brk(Address end) {
  const std::optional<Va> va = Va::from(end);
  return va ? mm().brk(*va).value() : mm().heap_end().value();
}

Value mmap(Address hint, std::uint64_t size, std::uint32_t protection, std::uint32_t flags, int descriptor,
           std::uint64_t offset) {
  const std::uint32_t type = flags & kMapTypeMask;
  if (!is_page_aligned(offset)) return failure(KernelError::InvalidArgument);
  if ((flags & kMapAnonymous) == 0) TRY(accessible_file(descriptor));
  if (type != kMapShared && type != kMapPrivate && type != kMapSharedValidate)
    return failure(KernelError::InvalidArgument);
  if (size == 0) return failure(KernelError::InvalidArgument);
  if ((flags & kMapHugePages) != 0) return failure(KernelError::InvalidArgument);
  const bool anonymous = (flags & kMapAnonymous) != 0;
  MappedFile mapped;
  if (!anonymous) mapped = TRY(file_to_map(descriptor, size, protection, flags));
  if (size > kUserEnd) return failure(KernelError::NotMapped);
  if (!anonymous && offset + size < offset) return failure(KernelError::Overflow);
  const bool fixed = (flags & (kMapFixed | kMapFixedNoReplace)) != 0;
  if (fixed) {
    const VaRange range = TRY(page_range(hint, size, KernelError::NotMapped));
    if (range.start().value() == 0) return failure(KernelError::NotPermitted);
  }
  if (anonymous) {
    // An anonymous mapping has no file that could know more types of flags.
    if (type == kMapSharedValidate) return failure(KernelError::InvalidArgument);
    if (type != kMapPrivate && (flags & kMapGrowsDown) != 0) return failure(KernelError::InvalidArgument);
    mapped = TRY(file_to_map(descriptor, size, protection, flags));
  }
  const bool locked = (flags & kMapLocked) != 0 || mm().locks_new_mappings();
  if (locked && !may_lock_more(size)) return failure(KernelError::TryAgain);
  const MapFlags map_flags{.fixed = fixed,
                           .no_replace = (flags & kMapFixedNoReplace) != 0,
                           .may_write = mapped.may_write,
                           .sharing = type == kMapPrivate ? Sharing::Private : Sharing::Shared,
                           .empty_file = EmptyFile::Mapped,
                           .area = area_flags_of(protection, flags)};
  const Va place = Va::from(page_floor(hint)).value_or(Va::checked(0));
  const VaRange range = TRY(
      mm().mmap(place, size, permission_of(protection), map_flags, mapped.file, mapped.memory ? 0 : offset));
  // What is written through the mapping may show in its page tables alone.
  if (mapped.open && !mapped.memory && map_flags.sharing == Sharing::Shared) note_unwritten_change();
  // Loading ahead is a wish; what cannot be loaded now faults later.
  if ((flags & kMapPopulate) != 0 || locked) (void)populate(range);
  return range.start().value();
}

Value munmap(Address start, std::uint64_t size) {
  if (size == 0) return failure(KernelError::InvalidArgument);
  TRY(mm().munmap(TRY(page_range(start, size, KernelError::InvalidArgument))));
  return 0;
}

Value mprotect(Address start, std::uint64_t size, std::uint32_t protection) {
  if ((protection & ~(kProtRead | kProtWrite | kProtExecute)) != 0)
    return failure(KernelError::InvalidArgument);
  const VaRange range = TRY(page_range(start, size, KernelError::NotMapped));
  if (!range.empty()) TRY(mm().protect(range, permission_of(protection), write_only(protection)));
  return 0;
}

Value mremap(Address old_start, std::uint64_t old_size, std::uint64_t new_size, std::uint32_t flags,
             Address new_start) {
  constexpr std::uint32_t kMayMove = 1, kFixed = 2;
  if ((flags & ~(kMayMove | kFixed)) != 0) return failure(KernelError::InvalidArgument);
  if ((flags & kFixed) != 0 && (flags & kMayMove) == 0) return failure(KernelError::InvalidArgument);
  const VaRange old_range = TRY(page_range(old_start, old_size, KernelError::BadAddress));
  const std::optional<std::uint64_t> size = page_ceiling(new_size);
  if (!size || *size == 0 || old_range.empty()) return failure(KernelError::InvalidArgument);
  RemapFlags remap{.may_move = (flags & kMayMove) != 0};
  if ((flags & kFixed) != 0) {
    const VaRange new_range = TRY(page_range(new_start, *size, KernelError::InvalidArgument));
    if (new_range.overlaps(old_range) || new_start == 0) return failure(KernelError::InvalidArgument);
    remap.fixed = new_range.start();
  }
  if (*size > kUserEnd) return failure(KernelError::NotMapped);
  return TRY(mm().remap(old_range, *size, remap)).start().value();
}

Value madvise(Address start, std::uint64_t size, std::uint32_t advice) {
  enum : std::uint32_t {
    kNormal = 0,
    kRandom = 1,
    kSequential = 2,
    kWillNeed = 3,
    kDontNeed = 4,
    kFree = 8,
    kRemove = 9,
    kDontFork = 10,
    kDoFork = 11,
    kDontDump = 16,
    kDoDump = 17,
    kNoHugePage = 15,
    kHugePage = 14,
    kWipeOnFork = 18,
    kKeepOnFork = 19,
    kCold = 20,
    kPageOut = 21,
    kPopulateRead = 22,
    kPopulateWrite = 23,
  };
  const VaRange range = TRY(page_range(start, size, KernelError::InvalidArgument));
  switch (advice) {
    case kDontNeed:
      return advise(range, Advice::DontNeed);
    case kFree:  // may be dropped at any time, so now is a time
      return advise(range, Advice::Free);
    case kWillNeed:
      return advise(range, Advice::WillNeed);
    case kRemove:
      return remove_contents(range);
    case kDontFork:
      return change_flags(range, AreaFlag::DontFork, {});
    case kDoFork:
      return change_flags(range, {}, AreaFlag::DontFork);
    case kWipeOnFork:
      return change_flags(range, AreaFlag::WipeOnFork, {});
    case kKeepOnFork:
      return change_flags(range, {}, AreaFlag::WipeOnFork);
    case kPopulateRead:
      TRY(populate_for(range, Access::Read));
      return 0;
    case kPopulateWrite:
      TRY(populate_for(range, Access::Write));
      return 0;
    case kNormal:
    case kRandom:
    case kSequential:
    case kDontDump:
    case kDoDump:
    case kNoHugePage:
    case kHugePage:
    case kCold:
    case kPageOut:
      return range.empty() || is_mapped(range) ? Value(0) : failure(KernelError::NotMapped);
    default:
      return failure(KernelError::InvalidArgument);
  }
}

Value msync(Address start, std::uint64_t size, std::uint32_t flags) {
  constexpr std::uint32_t kAsynchronous = 1, kInvalidate = 2, kSynchronous = 4;
  if ((flags & ~(kAsynchronous | kInvalidate | kSynchronous)) != 0)
    return failure(KernelError::InvalidArgument);
  if ((flags & kAsynchronous) != 0 && (flags & kSynchronous) != 0)
    return failure(KernelError::InvalidArgument);
  const VaRange range = TRY(page_range(start, size, KernelError::NotMapped));
  if (range.empty()) return 0;
  if ((flags & kInvalidate) != 0) {
    TRY(for_areas_in(range, [](const VmArea& area) -> Result<> {
      return area.flags().has(AreaFlag::Locked) ? failure(KernelError::Busy) : Result<>();
    }));
  }
  if ((flags & kSynchronous) != 0) TRY(mm().synchronize(range));
  return is_mapped(range) ? Value(0) : failure(KernelError::NotMapped);
}

Value mincore(Address start, std::uint64_t size, Address vector) {
  const VaRange range = TRY(page_range(start, size, KernelError::NotMapped));
  std::array<std::byte, 64> present;
  for (std::size_t done = 0; done < range.pages();) {
    const std::size_t count = std::min(present.size(), range.pages() - done);
    const Va start_of_part = range.start() + done * kPageSize;
    TRY(mm().resident(VaRange(start_of_part, start_of_part + count * kPageSize),
                      std::span(present).first(count)));
    TRY(copy_to_user(vector + done, std::span(present).first(count)));
    done += count;
  }
  return 0;
}

// Nothing is ever paged out: locking keeps MADV_DONTNEED from dropping pages, and makes them present now.

namespace {

// The pages that [start, start + size) touches.
Result<VaRange> touched_pages(Address start, std::uint64_t size) {
  const std::uint64_t first = page_floor(start);
  if (start + size < start) return failure(KernelError::InvalidArgument);
  return page_range(first, start + size - first, KernelError::NotMapped);
}

Value lock_range(Address start, std::uint64_t size, bool load) {
  const std::uint64_t limit = lock_limit();
  if (limit == 0) return failure(KernelError::NotPermitted);
  const VaRange range = TRY(touched_pages(start, size));
  if (range.empty()) return 0;
  TRY(mm().lock_pages(range, limit));
  if (load) TRY(populate(range));
  return 0;
}

// Calls f(range) for every area. Another thread may change them in between; what it maps is its own business.
template <class F>
Result<> for_all_areas(F f) {
  for (Va from = Va::checked(0);;) {
    std::optional<VaRange> next;
    mm().for_each_area([&](const VmArea& area) {
      if (!next && area.start() >= from) next = area.range();
    });
    if (!next) return {};
    f(*next);
    if (next->end().value() >= kUserEnd) return {};
    from = next->end();
  }
}

}  // namespace

Value mlock(Address start, std::uint64_t size) { return lock_range(start, size, true); }

Value mlock2(Address start, std::uint64_t size, std::uint32_t flags) {
  constexpr std::uint32_t kOnFault = 1;
  if ((flags & ~kOnFault) != 0) return failure(KernelError::InvalidArgument);
  return lock_range(start, size, (flags & kOnFault) == 0);
}

Value munlock(Address start, std::uint64_t size) {
  return change_flags(TRY(touched_pages(start, size)), {}, AreaFlag::Locked);
}

Value mlockall(std::uint32_t flags) {
  constexpr std::uint32_t kCurrent = 1, kFuture = 2, kOnFault = 4;
  if (flags == 0 || flags == kOnFault || (flags & ~(kCurrent | kFuture | kOnFault)) != 0)
    return failure(KernelError::InvalidArgument);
  const std::uint64_t limit = lock_limit();
  if (limit == 0) return failure(KernelError::NotPermitted);
  const bool current = (flags & kCurrent) != 0;
  if (current && limit != MemoryLimits::kUnlimited && mm().usage().virtual_pages * kPageSize > limit)
    return failure(KernelError::OutOfMemory);
  mm().lock_new_mappings((flags & kFuture) != 0);
  if (!current) return 0;
  TRY(for_all_areas([&](VaRange range) {
    (void)mm().change_flags(range, AreaFlag::Locked, {});
    if ((flags & kOnFault) == 0) (void)populate(range);
  }));
  return 0;
}

Value munlockall() {
  mm().lock_new_mappings(false);
  TRY(for_all_areas([](VaRange range) { (void)mm().change_flags(range, {}, AreaFlag::Locked); }));
  return 0;
}

Value riscv_flush_icache(Address, Address, std::uint64_t flags) {
  constexpr std::uint64_t kThisThread = 1;
  if ((flags & ~kThisThread) != 0) return failure(KernelError::InvalidArgument);
  platform::synchronize_instructions();
  return 0;
}

}  // namespace faultline::system_call
