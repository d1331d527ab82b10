#include "kernel/proc/process.hpp"

#include "kernel/proc/process_table.hpp"
#include "kernel/proc/user_thread.hpp"

namespace faultline {

constinit SpinLock process_lock{LockRank::Process};
ProcessTable process_table;

ProcessGroup::~ProcessGroup() { unlink(); }

Process::~Process() { ASSERT(threads.empty() && children.empty()); }

void ProcessTable::add(Ref<Process> process) {
  if (init_ == nullptr) init_ = process.get();
  ++count_;
  // The right side of an assignment is evaluated first, and leak() leaves `process` empty.
  Process*& entry = processes_[process->id];
  ASSERT(entry == nullptr);
  entry = process.leak();
}

Ref<Process> ProcessTable::remove(Process& process) {
  ASSERT(processes_[process.id] == &process);
  processes_[process.id] = nullptr;
  --count_;
  return Ref<Process>::adopt(&process);
}

Process* ProcessTable::find(ProcessId id) const {
  return id > 0 && id <= kMaxProcessId ? processes_[id] : nullptr;
}

Process* ProcessTable::next(ProcessId after) const {
  for (ProcessId id = std::max<ProcessId>(after, 0); id < kMaxProcessId;) {
    if (processes_[++id] != nullptr) return processes_[id];
  }
  return nullptr;
}

UserThread* ProcessTable::find_thread(ProcessId id) const {
  for (Process* process = next(0); process != nullptr; process = next(process->id)) {
    for (UserThread& thread : process->threads) {
      if (thread.id == id) return &thread;
    }
  }
  return nullptr;
}

Process* ProcessTable::find_by_thread(ProcessId id) const {
  if (Process* const process = find(id)) return process;
  const UserThread* const thread = find_thread(id);
  return thread == nullptr ? nullptr : thread->process;
}

ProcessGroup* ProcessTable::find_group(ProcessId id) const {
  for (ProcessGroup& group : groups_) {
    if (group.id == id) return &group;
  }
  return nullptr;
}

}  // namespace faultline
