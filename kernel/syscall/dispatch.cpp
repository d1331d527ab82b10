// From the registers of an ecall to a function, and from its result back.

#include "kernel/fs/memory_relief.hpp"
#include "kernel/proc/trap_hooks.hpp"
#include "kernel/proc/user_thread.hpp"
#include "kernel/syscall/table.hpp"

namespace faultline {

namespace {

std::uint64_t negated_errno(KernelError error) { return static_cast<std::uint64_t>(-to_errno(error)); }

// An interrupted call leaves its arguments where they are: return_to_user_work begins it again or makes it
// fail. The flag is set for the case that another thread has taken the signal meanwhile.
void leave_for_restart(Restart restart) {
  UserThread& thread = UserThread::current();
  thread.restart = restart;
  thread.user_work = true;
}

// A call that lacks memory gets what files can spare, in steps; one that asks for more than there is fails
// after some of them instead of emptying the whole page cache.
[[gnu::noinline]] void finish_failed(TrapFrame& frame, KernelError first_error) {
  const SystemCall& call = system_call_table[frame.a7];
  const Result<std::uint64_t> result =
      retry_relieved(Result<std::uint64_t>(failure(first_error)), [&] { return call.function(frame); });
  if (result) {
    frame.a0 = *result;
    return;
  }
  const KernelError error = result.error();
  if (error == KernelError::RestartSystemCall) {
    leave_for_restart(Restart::Always);
  } else if (error == KernelError::Interrupted && call.restart != Restart::Never) {
    leave_for_restart(call.restart);
  } else {
    frame.a0 = negated_errno(error);
  }
}

inline void make_call(TrapFrame& frame, const SystemCall& call) {
  const Result<std::uint64_t> result = call.function(frame);
  if (result) [[likely]] {
    frame.a0 = *result;
  } else {
    finish_failed(frame, result.error());
  }
}

[[gnu::noinline]] void make_timed_call(TrapFrame& frame, const SystemCall& call) {
  Thread::current().enter_system_call();
  make_call(frame, call);
  Thread::current().leave_system_call();
}

}  // namespace

extern "C" void handle_system_call(TrapFrame& frame) {
  const std::uint64_t number = frame.a7;
  if (number >= kSystemCallCount) [[unlikely]] {
    frame.a0 = negated_errno(KernelError::NotImplemented);
    return;
  }
  const SystemCall& call = system_call_table[number];
  if (call.timed) return make_timed_call(frame, call);
  make_call(frame, call);
}

}  // namespace faultline
