#pragma once
// Threads that wait for a condition.
//
// How no wake-up gets lost. A condition is changed and read under some lock L. The sleeper holds L from the
// moment it found the condition false until its Waiter stands in the queue; the waker changes the condition
// under L and wakes after that. So:
//
//   sleeper: lock L, condition false, announce "blocking", enter queue, unlock L, switch away, lock L, look
//            again
//   waker:   lock L, condition := true, unlock L (or keep it), wake: take a Waiter out, make its thread
//            runnable
//
// If the waker gets L second, the Waiter stands in the queue when it looks; if first, the sleeper sees the
// condition. Nobody waits for a waker that has changed the condition to get on with its wake: it may take out
// the Waiter of a thread that has found the condition false once more. Hence the announcement comes before
// the queue; a thread that is in no queue must not fall asleep. Between "unlock L" and "switch away" the
// sleeper still runs on its stack; waking it then is the scheduler's matter (scheduler.hpp, "Blocking"). The
// Waiter lies on the sleeper's stack: it is touched only under the queue's own lock, and the sleeper takes
// that lock once more before it goes on, so no waker can still be looking at it.
//
// A thread may return from sleep early; callers look at their condition again, as wait_until does.

#include "kernel/lib/list.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/lib/time.hpp"

namespace faultline {

class MutexGuard;
struct Waiter;

class WaitQueue {
 public:
  WaitQueue() = default;

  /// Releases the guard's lock, sleeps until woken, and takes the lock again. The guard's lock is the only
  /// spin lock held.
  void sleep(SpinGuard& guard);
  /// Error: Interrupted, when the thread has a signal pending already or gets one; it was not woken then.
  [[nodiscard]] Result<> sleep_interruptible(SpinGuard& guard);
  /// Error: TimedOut, at `deadline`.
  [[nodiscard]] Result<> sleep_until(SpinGuard& guard, Ticks deadline);
  [[nodiscard]] Result<> sleep_interruptible_until(SpinGuard& guard, Ticks deadline);

  /// The same for a condition that a Mutex protects. No spin lock may be held.
  [[nodiscard]] Result<> sleep_interruptible(MutexGuard& guard);

  /// Wakes the thread that has waited longest. Returns how many were woken: 0 or 1. Safe from interrupt
  /// handlers.
  unsigned wake_one();
  unsigned wake_all();

  /// Sleeps until `condition()`, evaluated under the guard's lock, holds.
  template <class Condition>
  void wait_until(SpinGuard& guard, Condition condition) {
    while (!condition()) sleep(guard);
  }
  /// Errors: Interrupted; TimedOut at `deadline`. The condition did not hold then.
  template <class Condition>
  [[nodiscard]] Result<> wait_until_interruptible(SpinGuard& guard, Condition condition,
                                                  Ticks deadline = Ticks::forever()) {
    while (!condition()) TRY(sleep_interruptible_until(guard, deadline));
    return {};
  }

 private:
  template <class Guard>
  Result<> sleep_generic(Guard& guard, Ticks deadline, bool interruptible);

  SpinLock lock_{LockRank::WaitQueue};
  List<Waiter> waiters_;
};

}  // namespace faultline
