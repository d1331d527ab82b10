#include "kernel/proc/address_space.hpp"

#include <cstring>

#include "kernel/mm/page_cache.hpp"
#include "kernel/proc/resource_limits.hpp"
#include "kernel/riscv/memory.hpp"

namespace faultline {

namespace {

// What a signal handler returns to: li a7, 139 (rt_sigreturn); ecall. Unwinders recognise these two
// instructions.
constexpr std::uint32_t kSignalReturnCode[] = {0x08b00893, 0x00000073};

// A page of one file, so that spaces share its frame.
RegularFile* signal_return_file;

}  // namespace

Result<> create_signal_return_page() {
  Ref<AnonymousFile> file = TRY(make_ref<AnonymousFile>(kPageSize));
  const Frame page = TRY(file->page_for_write(0, true));
  std::memset(page.bytes().data(), 0, kPageSize);
  std::memcpy(page.bytes().data(), kSignalReturnCode, sizeof(kSignalReturnCode));
  file->mark_dirty(0);
  platform::synchronize_instructions();
  signal_return_file = file.leak();
  return {};
}

MemoryLimits initial_memory_limits() {
  constexpr std::uint64_t kAreas = 65530;  // Linux's default
  // Who asks at once for more than the machine has would be killed for it later: Linux's overcommit
  // heuristic.
  return {.stack = kUserStackBytes,
          .locked = ResourceLimits::kLockedBytes,
          .areas = kAreas,
          .commitment = memory::total_frames() * kPageSize};
}

Result<Ref<AddressSpace>> AddressSpace::create(const MemoryLimits& limits, PagerChoice pager) {
  Ref<AddressSpace> space = TRY(make_ref<AddressSpace>(TRY(SystemMm::create(pager.make()))));
  space->mm().set_limits(limits);
  // Private, so that a program that makes the page writable changes its own copy only.
  TRY(space->mm().mmap(Va::checked(kSignalReturnPage), kPageSize, Permission::read_execute(), {.fixed = true},
                       signal_return_file, 0));
  return space;
}

Result<Ref<AddressSpace>> AddressSpace::fork() { return make_ref<AddressSpace>(TRY(mm_.fork())); }

}  // namespace faultline
