#include "kernel/proc/signal.hpp"

#include "kernel/proc/process_table.hpp"
#include "kernel/sched/scheduler.hpp"

namespace faultline::signals {

namespace {

constexpr SignalSet kStopSignals =
    SignalSet::of(Signal::Stop, Signal::TerminalStop, Signal::TerminalInput, Signal::TerminalOutput);

// Makes a thread look at its signals soon.
void alert(UserThread& thread) {
  thread.signal_pending = true;
  thread.user_work = true;
  scheduler::interrupt(thread);
}

void alert_all(Process& process) {
  for (UserThread& thread : process.threads) alert(thread);
  process.released.wake_all();
}

// A stopped process goes on.
void resume(Process& process, const SpinGuard& proof) {
  if (!process.stopped) return;
  process.stopped = false;
  process.stop_reported = true;
  process.continue_reported = false;
  process.released.wake_all();
  notify_parent(process, signal_code::kContinued, static_cast<std::int32_t>(number_of(Signal::Continue)),
                proof);
}

// What SIGCONT and the stop signals do when they are sent, whatever becomes of them later.
void apply_job_control(Process& process, Signal signal, const SpinGuard& proof) {
  if (signal == Signal::Continue) {
    process.pending.discard(kStopSignals);
    for (UserThread& thread : process.threads) thread.pending.discard(kStopSignals);
    resume(process, proof);
  } else if (kStopSignals.contains(signal)) {
    process.pending.discard(SignalSet::of(Signal::Continue));
    for (UserThread& thread : process.threads) thread.pending.discard(SignalSet::of(Signal::Continue));
  }
}

// The first process takes only the signals that it has a handler for, not even SIGKILL: without it nothing
// goes on.
bool is_protected(const Process& process, Signal signal) {
  return process.parent == nullptr && process.actions->of(signal).handler == SignalAction::kDefault;
}

// True when nobody will ever take the signal: it is ignored and no mask keeps it for later.
bool is_lost(const Process& process, Signal signal) {
  if (is_protected(process, signal)) return true;
  if (!process.actions->ignores(signal)) return false;
  for (const UserThread& thread : process.threads) {
    if (thread.blocked.contains(signal) || thread.awaited.contains(signal)) return false;
  }
  return true;
}

bool takes(const UserThread& thread, Signal signal) {
  return !thread.blocked.contains(signal) || thread.awaited.contains(signal);
}

bool kills_at_once(Process& process, Signal signal, const SpinGuard& proof) {
  if (signal != Signal::Kill || is_protected(process, signal)) return false;
  begin_exit(process,
             {.kind = ExitStatus::Kind::Killed, .value = static_cast<std::uint8_t>(number_of(signal))},
             proof);
  return true;
}

}  // namespace

SignalInfo from_current_process(Signal signal, std::int32_t code) {
  const Process& self = Process::current();
  SignalInfo info;
  info.number = static_cast<std::int32_t>(number_of(signal));
  info.code = code;
  info.sender.process = self.id;
  info.sender.user = self.credentials.user;
  return info;
}

SignalInfo from_kernel(Signal signal) {
  SignalInfo info;
  info.number = static_cast<std::int32_t>(number_of(signal));
  info.code = signal_code::kKernel;
  return info;
}

SignalInfo from_file(const FileNotice& notice) {
  // What poll(2) would say of the file.
  constexpr std::int64_t kIn = 0x041, kOut = 0x304, kMessage = 0x441;
  SignalInfo info;
  info.number = notice.signal;
  info.code = static_cast<std::int32_t>(notice.event);
  info.file.events = notice.event == FileEvent::Readable   ? kIn
                     : notice.event == FileEvent::Writable ? kOut
                                                           : kMessage;
  info.file.descriptor = notice.descriptor;
  return info;
}

Result<> send(Process& process, const SignalInfo& info, const SpinGuard& proof) {
  ASSERT(proof.guards(process_lock));
  if (process.threads.empty()) return {};
  const auto signal = static_cast<Signal>(info.number);
  apply_job_control(process, signal, proof);
  if (kills_at_once(process, signal, proof) || is_lost(process, signal)) return {};
  TRY(process.pending.add(signal, info));
  for (UserThread& thread : process.threads) {
    if (takes(thread, signal)) {
      alert(thread);
      break;
    }
  }
  return {};
}

Result<> send(UserThread& thread, const SignalInfo& info, const SpinGuard& proof) {
  ASSERT(proof.guards(process_lock));
  Process& process = *thread.process;
  const auto signal = static_cast<Signal>(info.number);
  apply_job_control(process, signal, proof);
  if (kills_at_once(process, signal, proof)) return {};
  if (is_protected(process, signal)) return {};
  if (process.actions->ignores(signal) && takes(thread, signal) && !thread.awaited.contains(signal))
    return {};
  TRY(thread.pending.add(signal, info));
  if (takes(thread, signal)) alert(thread);
  return {};
}

void send(ProcessGroup& group, Signal signal, const SpinGuard& proof) {
  const SignalInfo info = from_kernel(signal);
  for (Process& process : group.members) (void)send(process, info, proof);
}

void force_on_current(Signal signal, std::int32_t code, std::uint64_t address) {
  Process& process = Process::current();
  UserThread& thread = UserThread::current();
  SignalInfo info;
  info.number = static_cast<std::int32_t>(number_of(signal));
  info.code = code;
  info.fault.address = address;
  SpinGuard guard(process_lock);
  const bool blocked = thread.blocked.contains(signal);
  if (blocked || process.actions->of(signal).handler == SignalAction::kIgnore) {
    process.actions->set(signal, SignalAction{});
    thread.blocked.remove(signal);
  }
  (void)thread.pending.add(signal, info);
  Thread::current().signal_pending = true;
  Thread::current().user_work = true;
}

SignalSet pending(const UserThread& thread, const SpinGuard& proof) {
  ASSERT(proof.guards(process_lock));
  return thread.pending.set() | thread.process->pending.set();
}

void set_blocked(SignalSet blocked) {
  UserThread& thread = UserThread::current();
  SpinGuard guard(process_lock);
  thread.blocked = blocked - kUnstoppableSignals;
  if ((pending(thread, guard) - thread.blocked).empty()) return;
  Thread::current().signal_pending = true;
  Thread::current().user_work = true;
}

void set_blocked_temporarily(SignalSet blocked) {
  UserThread::current().mask_to_restore = UserThread::current().blocked;
  Thread::current().user_work = true;  // restores the mask when the call returns
  set_blocked(blocked);
}

void begin_exit(Process& process, ExitStatus status, const SpinGuard& proof) {
  ASSERT(proof.guards(process_lock));
  // A thread in exec has asked its siblings to leave: a fatal signal overrules it.
  if (process.exiting && process.survivor == nullptr) return;
  process.exiting = true;
  process.survivor = nullptr;
  process.exit_status = status;
  process.stopped = false;
  alert_all(process);
}

bool process_is_to_leave() {
  const SpinGuard guard(process_lock);
  const Process& process = Process::current();
  const UserThread& thread = UserThread::current();
  if (process.exiting) return process.survivor != &thread;
  const SignalSet ready = pending(thread, guard) - thread.blocked;
  for (unsigned number = 1; number <= kSignalCount; ++number) {
    const auto signal = static_cast<Signal>(number);
    if (ready.contains(signal) && process.actions->of(signal).handler == SignalAction::kDefault &&
        default_action(signal) == DefaultAction::Terminate)
      return true;
  }
  return false;
}

bool is_orphaned(const ProcessGroup& group, const SpinGuard& proof) {
  ASSERT(proof.guards(process_lock));
  for (const Process& member : group.members) {
    const Process* parent = member.parent;
    if (member.state == Process::State::Zombie || parent == nullptr || !parent->group) continue;
    if (parent->group.get() != &group && parent->group->session == group.session) return false;
  }
  return true;
}

void notify_parent(Process& process, std::int32_t code, std::int32_t status, const SpinGuard& proof) {
  Process* parent = process.parent;
  if (parent == nullptr) return;
  parent->child_changed.wake_all();
  const bool ended = code != signal_code::kStopped && code != signal_code::kContinued;
  const std::optional<Signal> signal = ended ? process.exit_signal : Signal::Child;
  if (!signal || !parent->actions) return;
  if (!ended && (parent->actions->of(Signal::Child).flags & SignalAction::kNoChildStop) != 0) return;
  SignalInfo info;
  info.number = static_cast<std::int32_t>(number_of(*signal));
  info.code = code;
  info.child.process = process.id;
  info.child.user = process.credentials.user;
  info.child.status = status;
  (void)send(*parent, info, proof);
}

}  // namespace faultline::signals
