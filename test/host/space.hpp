#pragma once
// A process of the simulated machine: an address space, and accesses to it by user code on some hart.

#include <string>

#include "kernel/mm/mm_struct.hpp"
#include "kernel/mm/pagers.hpp"
#include "test/host/memory_file.hpp"
#include "test/host/world.hpp"

// The pagers, for TEST_CASE_TEMPLATE.
#define ITSELF(P) P
#define COMMA ,
#define EVERY_PAGER FAULTLINE_PAGERS(ITSELF, COMMA)

namespace faultline::sim {

inline Va va_at(std::uint64_t address) { return Va::checked(address); }
inline VaRange pages_at(Va start, std::uint64_t pages) { return VaRange(start, start + pages * kPageSize); }

/// More faults than this for one access mean that a fault was called resolved but was not.
inline constexpr unsigned kMaxFaults = 3;

/// A user access: translated by the hart's TLB, its page faults handled as a trap handler would, until it
/// succeeds or the process would get a signal. A load or fetch yields what it read.
template <class P>
Result<std::uint64_t> user_access(World& world, HartId id, MmStruct<P>& mm, Va va, Access access,
                                  unsigned size = 1, std::uint64_t value = 0,
                                  unsigned max_faults = kMaxFaults) {
  OnHart here(id);
  const CallLimit limit(world.machine);
  for (unsigned faults = 0; faults <= max_faults; ++faults) {
    const auto done = world.machine.hart(id).access(va, access, size, value);
    if (done) return *done;
    TRY(mm.handle_page_fault(PageFaultReason{va, access}));
  }
  report_failure(text("the fault at ", hex(va), " is resolved again and again, and comes back"));
  return failure(KernelError::Busy);
}

/// Areas and page table, entry by entry.
std::string layout(const AreaIndex& areas, const PageTable& table);
/// Everything that an operation without success must leave alone: the layout, frames and heap objects in use.
std::string snapshot(World& world, const AreaIndex& areas, const PageTable& table);

/// One machine with one address space that hart 0 runs.
template <class P>
class Process {
 public:
  explicit Process(std::size_t frames = Machine::kDefaultFrames) : world(frames), mm(*MmStruct<P>::create()) {
    world.run(hart_id(0), mm.space());
  }
  ~Process() { world.leave_everywhere(mm.space()); }

  Result<std::uint64_t> read(Va va, HartId id = hart_id(0)) {
    return user_access(world, id, mm, va, Access::Read);
  }
  Result<std::uint64_t> write(Va va, std::uint8_t value, HartId id = hart_id(0)) {
    return user_access(world, id, mm, va, Access::Write, 1, value);
  }
  Result<std::uint64_t> execute(Va va, HartId id = hart_id(0)) {
    return user_access(world, id, mm, va, Access::Execute, 2);
  }

  /// The pager's own mmap.
  Result<VaRange> map(Va start, std::size_t size, Permission permission = Permission::read_write(),
                      RegularFile* file = nullptr, std::uint64_t offset = 0,
                      Sharing sharing = Sharing::Private) {
    return mm.pager().mmap(mm.page_table(), start, size, permission, file, offset, sharing);
  }
  Result<std::size_t> unmap(Va start) { return mm.pager().munmap(mm.page_table(), start); }
  std::optional<UserPage> page(Va va, Access access) {
    const CallLimit limit(world.machine);
    return mm.pager().get_user_page(mm.page_table(), va, access);
  }

  std::string snapshot() { return sim::snapshot(world, mm.pager().areas(), mm.page_table()); }
  std::string layout() { return sim::layout(mm.pager().areas(), mm.page_table()); }
  /// Frames beyond those of an empty space.
  std::size_t frames() const { return world.frames_used() - 1; }
  std::size_t resident() { return mm.page_table().resident_pages(); }

  World world;
  MmStruct<P> mm;
};

/// Of a forked child: dies before its World, and leaves the harts first.
template <class P>
class Child {
 public:
  Child(World& world, MmStruct<P> mm, HartId id) : mm(std::move(mm)), world_(world), hart_(id) {
    world_.run(hart_, this->mm.space());
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { world_.leave_everywhere(mm.space()); }

  Result<std::uint64_t> read(Va va) { return user_access(world_, hart_, mm, va, Access::Read); }
  Result<std::uint64_t> write(Va va, std::uint8_t value) {
    return user_access(world_, hart_, mm, va, Access::Write, 1, value);
  }
  Result<std::uint64_t> execute(Va va) { return user_access(world_, hart_, mm, va, Access::Execute, 2); }

  MmStruct<P> mm;

 private:
  World& world_;
  HartId hart_;
};

// Instantiated once, in space.cpp, rather than by each file of cases.
#define DECLARE(P)                  \
  extern template class Process<P>; \
  extern template class Child<P>
FAULTLINE_PAGERS(DECLARE, ;);
#undef DECLARE

}  // namespace faultline::sim

namespace faultline {
#define DECLARE(P) extern template class MmStruct<P>
FAULTLINE_PAGERS(DECLARE, ;);
#undef DECLARE
}  // namespace faultline
