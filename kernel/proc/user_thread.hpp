#pragma once
// A thread of a process: what it has only because it runs a user program, signal state and the words libc
// asks the kernel to keep.

#include <algorithm>
#include <cstdint>
#include <optional>

#include "kernel/lib/list.hpp"
#include "kernel/lib/time.hpp"
#include "kernel/proc/identifier.hpp"
#include "kernel/proc/pending_signals.hpp"
#include "kernel/sched/thread.hpp"

namespace faultline {

struct ThreadsOfProcessTag;

/// Where handlers with SA_ONSTACK run (sigaltstack). Unused while `size` is 0.
struct AlternateStack {
  std::uint64_t base = 0;
  std::uint64_t size = 0;
  bool disarm_on_entry = false;  // SS_AUTODISARM

  bool contains(std::uint64_t address) const { return address - base < size; }
};

/// What a program has said about its turns on harts. It is kept and told; all threads get the same.
struct SchedulingPolicy {
  std::int32_t nice = 0;
  std::uint32_t policy = 0;  // SCHED_OTHER
  std::int32_t priority = 0;
  bool reset_on_fork = false;

  SchedulingPolicy for_child() const {
    if (!reset_on_fork) return *this;
    return {.nice = policy == 0 ? std::max(nice, 0) : 0};
  }
};

/// How late the kernel may be with the thread's timers (PR_SET_TIMERSLACK). It is kept and told; a timer here
/// is as punctual as the clock.
struct TimerSlack {
  std::uint64_t nanoseconds = 50'000;
  std::uint64_t standard = 50'000;  // what the thread began with

  TimerSlack for_child() const { return {.nanoseconds = nanoseconds, .standard = nanoseconds}; }
};

/// How an interrupted system call goes on. It is decided when a signal is delivered, or when none is.
enum class Restart : std::uint8_t {
  Never,           // fails with EINTR
  ByAction,        // again, unless a handler without SA_RESTART runs
  WithoutHandler,  // again, unless any handler runs
  Always,
};

/// The thread itself is the only one that touches the fields above the line; those below are protected by
/// process_lock.
class UserThread final : public Thread, public ListNode<ThreadsOfProcessTag> {
 public:
  /// A thread of `process`, in none of its lists yet, that starts in user mode with the registers in
  /// trap_frame(), after it has called `prologue` in the kernel, if there is one. Error: OutOfMemory.
  static Result<Ref<UserThread>> create(Process& process, void (*prologue)() = nullptr);

  /// The thread that runs, which has a process.
  static UserThread& current() { return static_cast<UserThread&>(Thread::current()); }

  AlternateStack alternate_stack;
  /// Set while a system call that was interrupted has neither been given up nor begun again.
  std::optional<Restart> restart;
  /// End of a relative sleep that was interrupted: when it is restarted it goes on until then.
  std::optional<Ticks> sleep_deadline;
  /// CLONE_CHILD_CLEARTID and set_tid_address: where to store 0 and wake a futex at exit; 0 for nowhere.
  std::uint64_t clear_child_tid = 0;
  /// Head of the list of robust futexes this thread may hold at exit (set_robust_list); 0 for none.
  std::uint64_t robust_list = 0;

  TimerSlack timer_slack;
  /// Once set, no program that the thread or a descendant executes gives rights by its mode
  /// (PR_SET_NO_NEW_PRIVS).
  bool no_new_privileges = false;

  /// The thread's own number; the first thread has the process's.
  std::optional<Identifier> identifier;

  // ---- under process_lock ----
  SignalSet blocked;
  /// The mask to come back after sigsuspend, ppoll or pselect; taken by the first handler's frame.
  std::optional<SignalSet> mask_to_restore;
  PendingSignals pending;
  /// What sigtimedwait waits for: such signals wake the thread although they are blocked.
  SignalSet awaited;
  SchedulingPolicy scheduling;
  /// What the process gets when the thread that made it ends (PR_SET_PDEATHSIG).
  std::optional<Signal> parent_death_signal;

  using Thread::Thread;  // for make_ref
};

}  // namespace faultline
