#include "kernel/proc/out_of_memory.hpp"

#include "kernel/dev/console.hpp"
#include "kernel/fs/file_system.hpp"
#include "kernel/mm/page_cache.hpp"
#include "kernel/proc/process_table.hpp"
#include "kernel/proc/signal.hpp"
#include "kernel/riscv/kernel_stack.hpp"

namespace faultline {

namespace {

constexpr std::size_t kReclaimedAtOnce = 64;

// The largest process's memory is measured without process_lock, for that may sleep; the process may be gone
// by then.
struct Candidate {
  ProcessId id = 0;
  std::size_t pages = 0;
};

Ref<AddressSpace> memory_of(ProcessId after, ProcessId& id, bool& victim_leaving) {
  SpinGuard guard(process_lock);
  for (Process* process = process_table.next(after); process != nullptr;
       process = process_table.next(process->id)) {
    if (process->exiting && process->memory) victim_leaving = true;
    if (!process->memory || process->exiting || process == &process_table.init()) continue;
    id = process->id;
    return process->memory;
  }
  return nullptr;
}

Candidate find_largest(bool& victim_leaving) {
  Candidate largest;
  ProcessId id = 0;
  while (const Ref<AddressSpace> memory = memory_of(id, id, victim_leaving)) {
    const std::size_t pages = memory->mm().usage().resident_pages;
    if (pages > largest.pages) largest = {id, pages};
  }
  return largest;
}

}  // namespace

bool relieve_memory() {
  if (PageCache::reclaim(kReclaimedAtOnce) > 0) return true;
  if (kernel_stacks::release_cached()) return true;
  write_back_some();
  return PageCache::reclaim(kReclaimedAtOnce) > 0 || drop_file_system_caches() > 0;
}

void kill_largest_process() {
  bool victim_leaving = false;
  const Candidate largest = find_largest(victim_leaving);
  if (victim_leaving || largest.id == 0) return;
  SpinGuard guard(process_lock);
  Process* victim = process_table.find(largest.id);
  if (victim == nullptr || victim->exiting) return;
  print("faultline: out of memory: killed {} (pid {})\n", std::string_view(victim->name), victim->id);
  signals::begin_exit(
      *victim,
      {.kind = ExitStatus::Kind::Killed, .value = static_cast<std::uint8_t>(number_of(Signal::Kill))}, guard);
}

}  // namespace faultline
