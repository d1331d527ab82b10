#pragma once
// Sending signals, and what they do to a thread when it is about to return to its program.
//
// A signal waits in a queue of the process or of one thread. Sending it sets flags in a thread that does not
// block it; that thread then wakes from an interruptible sleep or leaves user mode, and takes the signal in
// return_to_user_work: nothing happens to a thread anywhere else. The flags are hints; what is true stands in
// the queues under process_lock.

#include "kernel/fs/file_signals.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/proc/process.hpp"

namespace faultline::signals {

/// A signal as kill(2) sends it for the current process.
SignalInfo from_current_process(Signal signal, std::int32_t code = signal_code::kUser);
/// A signal that the kernel sends of its own accord.
SignalInfo from_kernel(Signal signal);

/// A real signal about a file, which says what there is to say.
SignalInfo from_file(const FileNotice& notice);

/// All three: `proof` holds process_lock. Zombies take no signals. Error: TryAgain when a real-time signal
/// does not fit.
Result<> send(Process& process, const SignalInfo& info, const SpinGuard& proof);
Result<> send(UserThread& thread, const SignalInfo& info, const SpinGuard& proof);
void send(ProcessGroup& group, Signal signal, const SpinGuard& proof);

/// A fault of the current thread: it cannot be ignored, and blocking it ends the process.
void force_on_current(Signal signal, std::int32_t code, std::uint64_t address);

/// What is pending for a thread, blocked or not.
SignalSet pending(const UserThread& thread, const SpinGuard& proof);

/// Replaces the current thread's mask (SIGKILL and SIGSTOP stay unblocked) and takes note of what is now
/// deliverable.
void set_blocked(SignalSet blocked);
/// For sigsuspend, ppoll, pselect: the same for the length of one system call. The mask so far comes back
/// when the call has returned, or after the handler that interrupted it.
void set_blocked_temporarily(SignalSet blocked);

/// Ends the process: every thread leaves at its next return to user mode. The first status stays.
void begin_exit(Process& process, ExitStatus status, const SpinGuard& proof);

/// True when the current thread is to leave for good: its process ends, a signal is about to end it,
/// or another thread of it executes a program. Long transfers look at it, so that killing their process ends
/// them.
bool process_is_to_leave();
inline bool current_is_to_leave() {
  return Thread::current().signal_pending.load(std::memory_order_relaxed) && process_is_to_leave();
}

/// True when no member has a parent outside the group but inside its session: nobody could continue it, so
/// the terminal's stop signals must not stop it.
bool is_orphaned(const ProcessGroup& group, const SpinGuard& proof);

/// Tells the parent that the process has ended, stopped or continued: SIGCHLD and a wake-up for wait.
void notify_parent(Process& process, std::int32_t code, std::int32_t status, const SpinGuard& proof);

}  // namespace faultline::signals
