// The end of threads and processes.
//
//   exit_thread            leaves the address space, unlinks the thread; the last one lets everything go
//   scheduler              switches away for good, frees the stack, calls thread_gone
//   thread_gone            the last one: Zombie, SIGCHLD
//   wait_for_child         takes the zombie out of the table
//
// So a process that can be waited for holds no memory but its Process object.

#include "kernel/proc/exit.hpp"

#include "kernel/dev/console.hpp"
#include "kernel/dev/power.hpp"
#include "kernel/fs/file_system.hpp"
#include "kernel/proc/access.hpp"
#include "kernel/proc/fork.hpp"
#include "kernel/proc/futex.hpp"
#include "kernel/proc/process_table.hpp"
#include "kernel/proc/signal.hpp"
#include "kernel/proc/trap_hooks.hpp"
#include "kernel/proc/tty.hpp"
#include "kernel/proc/user_memory.hpp"
#include "kernel/sched/scheduler.hpp"

namespace faultline {

namespace {

constexpr std::uint16_t kInitExitedStatus = 1;

// Without its first process the system has nobody to adopt orphans or start a shell.
[[noreturn]] void power_off_without_init(const ExitStatus& status) {
  if (status.kind == ExitStatus::Kind::Exited) {
    print("faultline: init exited with status {}; powering off\n", status.value);
  } else {
    print("faultline: init was killed by signal {}; powering off\n", status.value);
  }
  unmount_all();
  power_off(kInitExitedStatus);
}

// Takes a zombie away from its parent and from the table. Drop the result without process_lock.
Ref<Process> reap(Process& process, const SpinGuard& proof) {
  ASSERT(proof.guards(process_lock));
  static_cast<ListNode<SiblingTag>&>(process).unlink();
  static_cast<ListNode<GroupMemberTag>&>(process).unlink();
  process.parent->children_usage.add(process.own_usage);
  process.parent->children_usage.add(process.children_usage);
  process.parent = nullptr;
  process.group = nullptr;
  process.pending.discard(SignalSet::from_bits(~std::uint64_t{0}));
  return process_table.remove(process);
}

bool parent_does_not_wait(const Process& process) {
  const Process& parent = *process.parent;
  if (process.exit_signal != Signal::Child || !parent.actions) return false;
  const SignalAction& action = parent.actions->of(Signal::Child);
  return action.handler == SignalAction::kIgnore || (action.flags & SignalAction::kNoChildWait) != 0;
}

// Tells the parent of a zombie, and takes the zombie away where the parent will not wait for it. Drop the
// result without process_lock.
Ref<Process> report_end(Process& process, const SpinGuard& proof) {
  const ExitStatus& status = process.exit_status;
  signals::notify_parent(
      process, status.kind == ExitStatus::Kind::Exited ? signal_code::kExited : signal_code::kKilled,
      status.value, proof);
  return parent_does_not_wait(process) ? reap(process, proof) : nullptr;
}

// Groups whose last link to the rest of the session was `process` and that have stopped members would stay
// stopped for ever: POSIX has them hung up and continued.
void release_orphaned_group(ProcessGroup& group, const SpinGuard& proof) {
  if (!signals::is_orphaned(group, proof)) return;
  for (Process& member : group.members) {
    if (!member.stopped) continue;
    signals::send(group, Signal::Hangup, proof);
    signals::send(group, Signal::Continue, proof);
    return;
  }
}

// Who takes over the children of a process that ends: the nearest ancestor that asked for them, or init.
Process& adopter_after(const Process& process, const SpinGuard&) {
  for (Process* ancestor = process.parent; ancestor != nullptr; ancestor = ancestor->parent) {
    if (ancestor->adopts_orphans && !ancestor->threads.empty()) return *ancestor;
  }
  return process_table.init();
}

// Each thread of a child may have asked for a signal at its parent's death, which here is a thread's.
void tell_of_parents_death(Process& child, const SpinGuard& proof) {
  for (const UserThread& thread : child.threads) {
    const std::optional<Signal> signal = thread.parent_death_signal;
    if (signal && access::may_signal(child, signal))
      (void)signals::send(child, signals::from_current_process(*signal), proof);
  }
}

// The thread is not the last of its process: another is from now on the parent of those that it made.
void leave_children_to_sibling(const UserThread& leaving, const SpinGuard& proof) {
  Process& process = *leaving.process;
  const UserThread* const sibling = process.survivor != nullptr ? process.survivor : &process.threads.front();
  for (Process& child : process.children) {
    if (child.parent_thread != &leaving) continue;
    child.parent_thread = sibling;
    tell_of_parents_death(child, proof);
  }
}

// Children that had ended and that the adopter does not wait for end up in `reaped`.
void give_children_away(Process& process, List<Process, SiblingTag>& reaped, const SpinGuard& proof) {
  Process& adopter = adopter_after(process, proof);
  while (Process* child = process.children.pop_front()) {
    child->parent = &adopter;
    child->parent_id = adopter.id;
    child->parent_thread = adopter.threads.empty() ? nullptr : &adopter.threads.front();
    adopter.children.push_back(*child);
    tell_of_parents_death(*child, proof);
    child->exit_signal = Signal::Child;
    if (child->group.get() != process.group.get()) release_orphaned_group(*child->group, proof);
    if (child->state != Process::State::Zombie) continue;
    if (Ref<Process> gone = report_end(*child, proof)) reaped.push_back(*gone.leak());
  }
}

void leave_relatives(Process& process, List<Process, SiblingTag>& reaped, const SpinGuard& proof) {
  give_children_away(process, reaped, proof);
  Process* parent = process.parent;
  if (parent->group.get() != process.group.get() && parent->group->session == process.group->session) {
    // The state is Running still, but the process counts no more as somebody who could continue its group.
    process.parent = nullptr;
    release_orphaned_group(*process.group, proof);
    process.parent = parent;
  }
}

void add_thread_usage(Process& process, const Thread& thread) { process.own_usage.add(thread.cpu_time()); }

// Everything the process holds goes, without process_lock: closing files and writing pages back may sleep.
void release_resources(Process& process) {
  process.real_timer.set({});
  process.cpu_time_limit.disarm();
  Ref<AddressSpace> memory;
  Ref<FileTable> files;
  Ref<FileSystemContext> file_system;
  ExecutedFile executable;
  {
    SpinGuard guard(process_lock);
    process.own_usage.minor_faults += process.mm().fault_count();
    std::swap(memory, process.memory);
    std::swap(files, process.files);
    std::swap(file_system, process.file_system);
    std::swap(executable, process.executable);
    process.end_vfork();
  }
}

[[noreturn]] void end_process(Process& process) {
  if (process.parent == nullptr) power_off_without_init(process.exit_status);
  release_resources(process);
  List<Process, SiblingTag> reaped;
  {
    SpinGuard guard(process_lock);
    leave_relatives(process, reaped, guard);
  }
  while (Process* const child = reaped.pop_front()) (void)Ref<Process>::adopt(child);
  tty::session_member_exited(process);
  scheduler::exit_current();
}

}  // namespace

void exit_thread(std::uint8_t code) {
  UserThread& current = UserThread::current();
  Process& process = *current.process;
  futex::release_at_exit(current);
  // From here on this thread does not keep the address space in use, which the last one is going to destroy.
  scheduler::use_space(nullptr);
  SpinGuard guard(process_lock);
  add_thread_usage(process, current);
  static_cast<ListNode<ThreadsOfProcessTag>&>(current).unlink();
  if (!process.exiting && (process.threads.empty() || current.id == process.id))
    process.exit_status.value = code;
  if (!process.threads.empty()) {
    if (!process.exiting || process.survivor != nullptr) leave_children_to_sibling(current, guard);
    guard.release();
    scheduler::exit_current();
  }
  process.exiting = true;
  guard.release();
  end_process(process);
}

void exit_process(std::uint8_t code) {
  {
    SpinGuard guard(process_lock);
    signals::begin_exit(Process::current(), {.kind = ExitStatus::Kind::Exited, .value = code}, guard);
  }
  exit_thread(code);
}

Result<> leave_siblings_behind() {
  Process& process = Process::current();
  UserThread& thread = UserThread::current();
  SpinGuard guard(process_lock);
  if (process.exiting) return failure(KernelError::Interrupted);
  if (process.threads_alive == 1) return {};
  process.exiting = true;
  process.survivor = &thread;
  for (UserThread& sibling : process.threads) {
    if (&sibling == &thread) continue;
    sibling.signal_pending = true;
    sibling.user_work = true;
    scheduler::interrupt(sibling);
  }
  process.released.wake_all();
  process.thread_gone.wait_until(guard,
                                 [&] { return process.threads_alive == 1 || process.survivor != &thread; });
  if (process.survivor != &thread) return failure(KernelError::Interrupted);
  process.exiting = false;
  process.survivor = nullptr;
  // It takes the place of the first thread, and its number.
  Thread::current().id = process.id;
  thread.identifier.reset();
  return {};
}

void scheduler::thread_gone(Process& process) {
  Ref<Process> reaped;
  Ref<SignalActions> actions;
  uncount_user_thread();
  SpinGuard guard(process_lock);
  if (--process.threads_alive > 0) {
    process.thread_gone.wake_all();
    return;
  }
  process.state = Process::State::Zombie;
  std::swap(actions, process.actions);
  reaped = report_end(process, guard);
  guard.release();
}

namespace {

bool matches(const Process& child, const ChildSelector& selector) {
  if (!selector.all && (child.exit_signal != Signal::Child) != selector.clones) return false;
  switch (selector.kind) {
    case ChildSelector::Kind::Any:
      return true;
    case ChildSelector::Kind::Process:
      return child.id == selector.id;
    case ChildSelector::Kind::Group:
      return child.group->id == selector.id;
  }
  return false;
}

constexpr std::int32_t kWaitStopped = 0x7f, kWaitContinued = 0xffff;

// What there is to tell of a child, if anything; takes note that it has been told.
std::optional<ChildReport> report(Process& child, const WaitOptions& options, const SpinGuard& proof) {
  ChildReport report;
  report.id = child.id;
  report.user = child.credentials.user;
  if (child.state == Process::State::Zombie) {
    if (!options.exited) return std::nullopt;
    report.code =
        child.exit_status.kind == ExitStatus::Kind::Exited ? signal_code::kExited : signal_code::kKilled;
    report.value = child.exit_status.value;
    report.wait_status = child.exit_status.wait_status();
    report.usage = child.own_usage;
    report.usage.add(child.children_usage);
    return report;
  }
  if (options.stopped && child.stopped && !child.stop_reported) {
    report.code = signal_code::kStopped;
    report.value = static_cast<std::int32_t>(number_of(child.stop_signal));
    report.wait_status = report.value << 8 | kWaitStopped;
    child.stop_reported = !options.keep;
  } else if (options.continued && !child.continue_reported) {
    report.code = signal_code::kContinued;
    report.value = static_cast<std::int32_t>(number_of(Signal::Continue));
    report.wait_status = kWaitContinued;
    child.continue_reported = !options.keep;
  } else {
    return std::nullopt;
  }
  report.usage = usage_of(child, proof);
  return report;
}

}  // namespace

Result<std::optional<ChildReport>> wait_for_child(const ChildSelector& selector, const WaitOptions& options) {
  Process& process = Process::current();
  Ref<Process> reaped;  // dropped after the lock
  SpinGuard guard(process_lock);
  for (;;) {
    bool any = false;
    for (Process& child : process.children) {
      if (!matches(child, selector)) continue;
      any = true;
      const std::optional<ChildReport> found = report(child, options, guard);
      if (!found) continue;
      if (child.state == Process::State::Zombie && !options.keep) reaped = reap(child, guard);
      return found;
    }
    if (!any) return failure(KernelError::NoChild);
    if (options.no_hang) return std::optional<ChildReport>();
    TRY(process.child_changed.sleep_interruptible(guard));
  }
}

ResourceUsage usage_of(const Process& process, const SpinGuard& proof) {
  ASSERT(proof.guards(process_lock));
  ResourceUsage usage = process.own_usage;
  for (const UserThread& thread : process.threads) usage.add(thread.cpu_time());
  if (process.memory) usage.minor_faults += process.mm().fault_count();
  return usage;
}

}  // namespace faultline
