// Signals.

#include "kernel/dev/clock.hpp"
#include "kernel/proc/access.hpp"
#include "kernel/proc/process_table.hpp"
#include "kernel/proc/signal.hpp"
#include "kernel/proc/signal_delivery.hpp"
#include "kernel/proc/user_thread.hpp"
#include "kernel/syscall/system_calls.hpp"

namespace faultline::system_call {

namespace {

/// A signal number from the user; 0 stands for none: only the target is checked.
struct SignalArgument {
  std::optional<Signal> signal;
  static Result<SignalArgument> from(std::int32_t number) {
    if (number == 0) return SignalArgument{};
    const std::optional<Signal> signal = signal_from(number);
    if (!signal) return failure(KernelError::InvalidArgument);
    return SignalArgument{signal};
  }
};

Result<> send_to(Process& target, std::optional<Signal> signal, const SpinGuard& guard) {
  if (!access::may_signal(target, signal)) return failure(KernelError::NotPermitted);
  if (!signal) return {};
  return signals::send(target, signals::from_current_process(*signal), guard);
}

/// Sums up a signal to several processes: it has worked if it worked for one; else the first error.
class Outcome {
 public:
  void add(Result<> result) {
    any_ = any_ || result.has_value();
    if (!error_ && !result) error_ = result.error();
  }
  Value value() const {
    if (any_) return 0;
    return failure(error_.value_or(KernelError::NoSuchProcess));
  }

 private:
  bool any_ = false;
  std::optional<KernelError> error_;
};

Value kill_group(const ProcessGroup* group, std::optional<Signal> signal, const SpinGuard& guard) {
  Outcome outcome;
  if (group != nullptr) {
    for (Process& member : group->members) outcome.add(send_to(member, signal, guard));
  }
  return outcome.value();
}

// kill(-1): everybody but the first process and the sender.
Value kill_all(std::optional<Signal> signal, const SpinGuard& guard) {
  Outcome outcome;
  for (Process* target = process_table.next(0); target != nullptr; target = process_table.next(target->id)) {
    if (target == &process_table.init() || target == &Process::current()) continue;
    outcome.add(send_to(*target, signal, guard));
  }
  return outcome.value();
}

}  // namespace

Value kill(std::int32_t id, std::int32_t number) {
  const auto [signal] = TRY(SignalArgument::from(number));
  SpinGuard guard(process_lock);
  if (id == -1) return kill_all(signal, guard);
  if (id == 0) return kill_group(Process::current().group.get(), signal, guard);
  if (id < 0) return kill_group(id == INT32_MIN ? nullptr : process_table.find_group(-id), signal, guard);
  Process* target = process_table.find_by_thread(id);
  if (target == nullptr) return failure(KernelError::NoSuchProcess);
  TRY(send_to(*target, signal, guard));
  return 0;
}

namespace {

// `process` 0: any. Also sends what rt_tgsigqueueinfo was given.
Value signal_thread(ProcessId process, ProcessId id, std::optional<Signal> signal, const SignalInfo* given) {
  SpinGuard guard(process_lock);
  UserThread* thread = nullptr;
  if (process == 0) {
    thread = process_table.find_thread(id);
  } else if (Process* target = process_table.find(process)) {
    for (UserThread& candidate : target->threads) {
      if (candidate.id == id) thread = &candidate;
    }
  }
  if (thread == nullptr) return failure(KernelError::NoSuchProcess);
  if (!access::may_signal(*thread->process, signal)) return failure(KernelError::NotPermitted);
  if (!signal) return 0;
  TRY(signals::send(*thread,
                    given != nullptr ? *given : signals::from_current_process(*signal, signal_code::kThread),
                    guard));
  return 0;
}

// Information that a program makes up may not pretend to come from the kernel or from kill.
Result<SignalInfo> given_info(UserPointer<SignalInfo> info, std::int32_t number, bool to_itself) {
  SignalInfo given = TRY(info.read());
  if ((given.code >= 0 || given.code == signal_code::kThread) && !to_itself)
    return failure(KernelError::NotPermitted);
  given.number = number;
  return given;
}

}  // namespace

Value tkill(std::int32_t thread, std::int32_t number) {
  if (thread <= 0) return failure(KernelError::InvalidArgument);
  return signal_thread(0, thread, TRY(SignalArgument::from(number)).signal, nullptr);
}

Value tgkill(std::int32_t process, std::int32_t thread, std::int32_t number) {
  if (process <= 0 || thread <= 0) return failure(KernelError::InvalidArgument);
  return signal_thread(process, thread, TRY(SignalArgument::from(number)).signal, nullptr);
}

Value rt_tgsigqueueinfo(std::int32_t process, std::int32_t thread, std::int32_t number,
                        UserPointer<SignalInfo> info) {
  if (process <= 0 || thread <= 0) return failure(KernelError::InvalidArgument);
  const SignalInfo given = TRY(given_info(info, number, process == Process::current().id));
  return signal_thread(process, thread, TRY(SignalArgument::from(number)).signal, &given);
}

Value rt_sigqueueinfo(std::int32_t process, std::int32_t number, UserPointer<SignalInfo> info) {
  const SignalInfo given = TRY(given_info(info, number, process == Process::current().id));
  const auto [signal] = TRY(SignalArgument::from(number));
  SpinGuard guard(process_lock);
  Process* target = process_table.find_by_thread(process);
  if (target == nullptr) return failure(KernelError::NoSuchProcess);
  if (!access::may_signal(*target, signal)) return failure(KernelError::NotPermitted);
  if (signal) TRY(signals::send(*target, given, guard));
  return 0;
}

Value rt_sigaction(std::int32_t number, UserPointer<SignalAction> action,
                   UserPointer<SignalAction> old_action, std::uint64_t mask_bytes) {
  if (mask_bytes != abi::kSignalSetBytes) return failure(KernelError::InvalidArgument);
  const std::optional<Signal> signal = signal_from(number);
  if (!signal || (!action.null() && kUnstoppableSignals.contains(*signal)))
    return failure(KernelError::InvalidArgument);
  std::optional<SignalAction> changed;
  if (!action.null()) changed = TRY(action.read());
  Process& process = Process::current();
  SignalAction before;
  {
    SpinGuard guard(process_lock);
    before = process.actions->of(*signal);
    if (changed) {
      process.actions->set(*signal, *changed);
      // POSIX: a pending signal that becomes ignored is dropped, even if it is blocked.
      if (process.actions->ignores(*signal)) {
        process.pending.discard(SignalSet::of(*signal));
        for (UserThread& thread : process.threads) thread.pending.discard(SignalSet::of(*signal));
      }
    }
  }
  if (!old_action.null()) TRY(old_action.write(before));
  return 0;
}

Value rt_sigprocmask(std::int32_t how, UserPointer<SignalSet> set, UserPointer<SignalSet> old_set,
                     std::uint64_t mask_bytes) {
  enum : std::int32_t { kBlock = 0, kUnblock = 1, kSet = 2 };
  if (mask_bytes != abi::kSignalSetBytes) return failure(KernelError::InvalidArgument);
  const SignalSet before = UserThread::current().blocked;
  if (!set.null()) {
    const SignalSet given = TRY(set.read());
    switch (how) {
      case kBlock:
        signals::set_blocked(before | given);
        break;
      case kUnblock:
        signals::set_blocked(before - given);
        break;
      case kSet:
        signals::set_blocked(given);
        break;
      default:
        return failure(KernelError::InvalidArgument);
    }
  }
  if (!old_set.null()) TRY(old_set.write(before));
  return 0;
}

Value rt_sigpending(UserPointer<SignalSet> set, std::uint64_t mask_bytes) {
  if (mask_bytes > abi::kSignalSetBytes) return failure(KernelError::InvalidArgument);
  SignalSet pending;
  {
    SpinGuard guard(process_lock);
    pending = signals::pending(UserThread::current(), guard) & UserThread::current().blocked;
  }
  TRY(copy_to_user(set.address(), std::as_bytes(std::span(&pending, 1)).first(mask_bytes)));
  return 0;
}

Value rt_sigsuspend(UserPointer<SignalSet> mask, std::uint64_t mask_bytes) {
  if (mask_bytes != abi::kSignalSetBytes) return failure(KernelError::InvalidArgument);
  signals::set_blocked_temporarily(TRY(mask.read()));
  SpinLock lock{LockRank::Condition};
  WaitQueue nobody_wakes;
  SpinGuard guard(lock);
  for (;;) TRY(nobody_wakes.sleep_interruptible(guard));
}

Value rt_sigtimedwait(UserPointer<SignalSet> set, UserPointer<SignalInfo> info,
                      UserPointer<abi::TimeSpec> timeout, std::uint64_t mask_bytes) {
  if (mask_bytes != abi::kSignalSetBytes) return failure(KernelError::InvalidArgument);
  const SignalSet wanted = TRY(set.read()) - kUnstoppableSignals;
  Ticks deadline = Ticks::forever();
  if (!timeout.null()) deadline = clock::now() + TRY(abi::to_ticks(TRY(timeout.read())));
  UserThread& thread = UserThread::current();
  Process& process = Process::current();
  WaitQueue nobody_wakes;
  Result<> slept;
  SignalInfo taken;
  {
    SpinGuard guard(process_lock);
    // A signal that is awaited reaches the thread although it is blocked, and ends the sleep as any other
    // does.
    while ((signals::pending(thread, guard) & wanted).empty() && slept) {
      thread.awaited = wanted;
      slept = nobody_wakes.sleep_interruptible_until(guard, deadline);
      thread.awaited = SignalSet();
    }
    const SignalSet ready = signals::pending(thread, guard) & wanted;
    if (ready.empty()) {
      return failure(slept.error() == KernelError::TimedOut ? KernelError::TryAgain : slept.error());
    }
    taken = ((thread.pending.set() & ready).empty() ? process.pending : thread.pending).take(ready);
  }
  if (!info.null()) TRY(info.write(taken));
  return static_cast<std::uint64_t>(taken.number);
}

Value rt_sigreturn() { return return_from_signal_handler(Thread::current().trap_frame()); }

Value sigaltstack(UserPointer<UserStackDescription> stack, UserPointer<UserStackDescription> old_stack) {
  const std::uint64_t stack_pointer = Thread::current().trap_frame().sp;
  const UserStackDescription before = describe_alternate_stack(stack_pointer);
  if (!stack.null()) TRY(set_alternate_stack(TRY(stack.read()), stack_pointer));
  if (!old_stack.null()) TRY(old_stack.write(before));
  return 0;
}

}  // namespace faultline::system_call
