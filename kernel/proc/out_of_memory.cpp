#include "kernel/proc/out_of_memory.hpp"

#include "kernel/dev/console.hpp"
#include "kernel/proc/process_table.hpp"
#include "kernel/proc/signal.hpp"

namespace faultline {

namespace {

// How much the largest process holds is measured without process_lock, for that may sleep; the process may be
// gone by then.
struct Candidate {
  ProcessId id = 0;
  std::size_t frames = 0;
};

struct Holdings {
  Ref<AddressSpace> memory;
  Ref<FileTable> files;
};

Holdings holdings_of(ProcessId after, ProcessId& id, bool& victim_leaving) {
  SpinGuard guard(process_lock);
  for (Process* process = process_table.next(after); process != nullptr;
       process = process_table.next(process->id)) {
    if (process->exiting && process->memory) victim_leaving = true;
    if (!process->memory || process->exiting || process == &process_table.init()) continue;
    id = process->id;
    return {process->memory, process->files};
  }
  return {};
}

std::size_t frames_in(const FileTable& files) {
  std::size_t frames = 0;
  for (int descriptor = files.next_in_use(0); descriptor >= 0;
       descriptor = files.next_in_use(descriptor + 1)) {
    if (const Result<Ref<OpenFile>> file = files.get(descriptor)) frames += (*file)->held_frames();
  }
  return frames;
}

Candidate find_largest(bool& victim_leaving) {
  Candidate largest;
  ProcessId id = 0;
  for (;;) {
    const Holdings holdings = holdings_of(id, id, victim_leaving);
    if (!holdings.memory) return largest;
    const std::size_t frames =
        holdings.memory->mm().footprint() + (holdings.files ? frames_in(*holdings.files) : 0);
    if (frames > largest.frames) largest = {id, frames};
  }
}

// Memory that others share is free only when all of them have left.
void kill_all_in(const AddressSpace& memory, const SpinGuard& proof) {
  for (Process* process = process_table.next(0); process != nullptr;
       process = process_table.next(process->id)) {
    if (process->memory.get() != &memory || process == &process_table.init()) continue;
    signals::begin_exit(
        *process,
        {.kind = ExitStatus::Kind::Killed, .value = static_cast<std::uint8_t>(number_of(Signal::Kill))},
        proof);
  }
}

}  // namespace

void kill_largest_process() {
  bool victim_leaving = false;
  const Candidate largest = find_largest(victim_leaving);
  if (victim_leaving || largest.id == 0) return;
  SpinGuard guard(process_lock);
  Process* victim = process_table.find(largest.id);
  if (victim == nullptr || victim->exiting || !victim->memory) return;
  print("faultline: out of memory: killed {} (pid {})\n", std::string_view(victim->name), victim->id);
  kill_all_in(*victim->memory, guard);
}

}  // namespace faultline
