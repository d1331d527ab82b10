// Delivery of signals. A thread comes here when its user_work flag was set, with the user's registers in its
// frame.
//
// An interrupted system call has left its arguments in the frame and `restart` in the thread
// (syscall/dispatch.cpp). Whether it begins again is settled here: by the first handler that runs, or by
// there being none.

#include "kernel/proc/signal_delivery.hpp"

#include "kernel/proc/exit.hpp"
#include "kernel/proc/signal.hpp"
#include "kernel/proc/trap_hooks.hpp"
#include "kernel/proc/user_memory.hpp"
#include "kernel/proc/user_thread.hpp"
#include "kernel/sched/scheduler.hpp"

namespace faultline {

namespace {

constexpr std::uint64_t kEcallBytes = 4;
constexpr std::uint64_t kMinAlternateStack = 2048;  // MINSIGSTKSZ

void restart_system_call(UserThread& thread, TrapFrame& frame) {
  frame.pc -= kEcallBytes;
  thread.restart.reset();
}

void settle_restart_before_handler(UserThread& thread, const SignalAction& action, TrapFrame& frame) {
  if (!thread.restart) return;
  const bool again = *thread.restart == Restart::Always ||
                     (*thread.restart == Restart::ByAction && (action.flags & SignalAction::kRestart) != 0);
  if (again) {
    restart_system_call(thread, frame);
  } else {
    frame.a0 = static_cast<std::uint64_t>(-to_errno(KernelError::Interrupted));
    thread.restart.reset();
  }
  thread.sleep_deadline.reset();
}

// The place of the frame on the stack the handler is to use, or nothing when an alternate stack has no room
// left.
std::optional<std::uint64_t> place_frame(const UserThread& thread, const SignalAction& action,
                                         std::uint64_t sp) {
  const AlternateStack& alternate = thread.alternate_stack;
  std::uint64_t top = sp;
  if ((action.flags & SignalAction::kOnStack) != 0 && alternate.size != 0 && !alternate.contains(sp)) {
    top = alternate.base + alternate.size;
  }
  if (top < sizeof(SignalFrame)) return std::nullopt;
  const std::uint64_t place = (top - sizeof(SignalFrame)) & ~std::uint64_t{15};
  if (alternate.size != 0 && alternate.contains(sp) && !alternate.contains(place)) return std::nullopt;
  return place;
}

// Makes the thread enter `action`'s handler at its return to user mode. `mask` is what the handler's return
// restores. False when the frame cannot be written.
bool enter_handler(UserThread& thread, const SignalInfo& info, const SignalAction& action, SignalSet mask,
                   TrapFrame& frame) {
  const std::optional<std::uint64_t> place = place_frame(thread, action, frame.sp);
  if (!place) return false;
  SignalFrame user = {};
  user.info = info;
  user.context.stack = describe_alternate_stack(frame.sp);
  user.context.mask = mask;
  user.context.machine.registers = frame;
  const FpState& fp = fp::save_current();
  user.context.machine.f = fp.f;
  user.context.machine.fcsr = fp.fcsr;
  if (!copy_to_user(*place, std::as_bytes(std::span(&user, 1)))) return false;

  if (thread.alternate_stack.disarm_on_entry) thread.alternate_stack = {};
  frame.pc = action.handler;
  frame.ra = kSignalReturnPage;
  frame.sp = *place;
  frame.a0 = static_cast<std::uint64_t>(info.number);
  frame.a1 = *place + offsetof(SignalFrame, info);
  frame.a2 = *place + offsetof(SignalFrame, context);
  return true;
}

// Stops the process. The thread that calls this stops with the others, in return_to_user_work.
void stop(Process& process, Signal signal, const SpinGuard& guard) {
  if (signal != Signal::Stop && signals::is_orphaned(*process.group, guard)) return;
  process.stopped = true;
  process.stop_signal = signal;
  process.stop_reported = false;
  process.continue_reported = true;
  for (UserThread& thread : process.threads) {
    if (&thread == &Thread::current()) continue;
    thread.signal_pending = true;
    thread.user_work = true;
    scheduler::interrupt(thread);
  }
  signals::notify_parent(process, signal_code::kStopped, static_cast<std::int32_t>(number_of(signal)), guard);
}

void run_handler(UserThread& thread, const SignalInfo& info, const SignalAction& action, SignalSet mask,
                 TrapFrame& frame) {
  settle_restart_before_handler(thread, action, frame);
  if (enter_handler(thread, info, action, mask, frame)) return;
  const auto signal = static_cast<Signal>(info.number);
  if (signal == Signal::Segmentation) {
    // Its handler has no stack to run on.
    SpinGuard guard(process_lock);
    Process::current().actions->set(signal, SignalAction{});
  }
  signals::force_on_current(Signal::Segmentation, signal_code::kKernel, 0);
}

// Takes one signal and does what it asks for. False when there is none. Releases and retakes the lock.
bool take_one_signal(Process& process, UserThread& thread, TrapFrame& frame) {
  SpinGuard guard(process_lock);
  const SignalSet ready = signals::pending(thread, guard) - thread.blocked;
  if (ready.empty()) return false;
  const bool own = !(thread.pending.set() & ready).empty();
  const SignalInfo info = (own ? thread.pending : process.pending).take(ready);
  const auto signal = static_cast<Signal>(info.number);
  const SignalAction action = process.actions->of(signal);

  if (action.handler == SignalAction::kIgnore) return true;
  if (action.handler == SignalAction::kDefault) {
    switch (default_action(signal)) {
      case DefaultAction::Ignore:
      case DefaultAction::Continue:
        break;
      case DefaultAction::Stop:
        stop(process, signal, guard);
        break;
      case DefaultAction::Terminate:
        signals::begin_exit(
            process,
            {.kind = ExitStatus::Kind::Killed, .value = static_cast<std::uint8_t>(number_of(signal))}, guard);
        break;
    }
    return true;
  }

  const SignalSet mask = thread.mask_to_restore.value_or(thread.blocked);
  thread.mask_to_restore.reset();
  thread.blocked = (thread.blocked | action.mask) - kUnstoppableSignals;
  if ((action.flags & SignalAction::kNoDefer) == 0) thread.blocked.add(signal);
  if ((action.flags & SignalAction::kResetHandler) != 0) {
    SignalAction once = action;
    once.handler = SignalAction::kDefault;
    process.actions->set(signal, once);
  }
  guard.release();
  run_handler(thread, info, action, mask, frame);
  return true;
}

// Stays here while the process is stopped; does not return when the thread has to leave.
void stop_or_leave(Process& process, UserThread& thread) {
  SpinGuard guard(process_lock);
  while (process.stopped && !process.exiting) process.released.sleep(guard);
  if (process.exiting && process.survivor != &thread) {
    guard.release();
    exit_thread(0);
  }
}

void restore_mask(UserThread& thread) {
  SpinGuard guard(process_lock);
  thread.blocked = *thread.mask_to_restore;
  thread.mask_to_restore.reset();
}

}  // namespace

void return_to_user_work(TrapFrame& frame) {
  Process& process = Process::current();
  UserThread& thread = UserThread::current();
  // A call that was not interrupted gets its mask back first; an interrupted one keeps the temporary mask
  // until the signal that interrupted it has been taken.
  if (thread.mask_to_restore && !thread.restart) restore_mask(thread);
  for (;;) {
    // Cleared before looking: what is sent from here on sets them again.
    thread.user_work = false;
    thread.signal_pending = false;
    stop_or_leave(process, thread);
    if (take_one_signal(process, thread, frame)) continue;
    if (thread.restart) restart_system_call(thread, frame);
    if (thread.mask_to_restore) {
      restore_mask(thread);
      continue;
    }
    if (!thread.user_work) return;
  }
}

UserStackDescription describe_alternate_stack(std::uint64_t stack_pointer) {
  const AlternateStack& stack = UserThread::current().alternate_stack;
  UserStackDescription description{.base = stack.base, .size = stack.size};
  if (stack.size == 0) {
    description.flags = UserStackDescription::kDisabled;
  } else if (!stack.disarm_on_entry && stack.contains(stack_pointer)) {
    description.flags = UserStackDescription::kOnStack;
  }
  if (stack.disarm_on_entry)
    description.flags |= static_cast<std::int32_t>(UserStackDescription::kAutoDisarm);
  return description;
}

Result<> set_alternate_stack(const UserStackDescription& description, std::uint64_t stack_pointer) {
  AlternateStack& stack = UserThread::current().alternate_stack;
  if (stack.size != 0 && !stack.disarm_on_entry && stack.contains(stack_pointer)) {
    return failure(KernelError::NotPermitted);
  }
  const auto flags = static_cast<std::uint32_t>(description.flags);
  const std::uint32_t mode = flags & ~UserStackDescription::kAutoDisarm;
  if (mode == UserStackDescription::kDisabled) {
    stack = {};
    return {};
  }
  if (mode != 0 && mode != UserStackDescription::kOnStack) return failure(KernelError::InvalidArgument);
  if (description.size < kMinAlternateStack) return failure(KernelError::OutOfMemory);
  stack = {.base = description.base,
           .size = description.size,
           .disarm_on_entry = (flags & UserStackDescription::kAutoDisarm) != 0};
  return {};
}

std::uint64_t return_from_signal_handler(TrapFrame& frame) {
  UserPointer<UserContext> place(frame.sp + offsetof(SignalFrame, context));
  const Result<UserContext> context = place.read();
  if (!context || frame.sp % 16 != 0) {
    signals::force_on_current(Signal::Segmentation, signal_code::kKernel, frame.sp);
    return frame.a0;
  }
  // Whatever the frame holds, user mode is entered with user privilege: these are all registers of the
  // program.
  frame = context->machine.registers;
  fp::replace_current({.f = context->machine.f, .fcsr = context->machine.fcsr});
  signals::set_blocked(context->mask);
  (void)set_alternate_stack(context->stack, frame.sp);
  return frame.a0;
}

}  // namespace faultline
