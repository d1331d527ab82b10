#include "kernel/sync/wait_queue.hpp"

#include "kernel/dev/clock.hpp"
#include "kernel/sched/scheduler.hpp"
#include "kernel/sched/thread.hpp"
#include "kernel/sync/alarm.hpp"
#include "kernel/sync/mutex.hpp"

namespace faultline {

/// One sleeping thread, on its stack. In the queue until a waker takes it out; touched under the queue's lock
/// only.
struct Waiter : ListNode<> {
  explicit Waiter(Thread& sleeper) : thread(sleeper) {}
  Thread& thread;
};

namespace {

void release(SpinGuard& guard) { guard.lock().unlock(); }
void take(SpinGuard& guard) { guard.lock().lock(); }
void release(MutexGuard& guard) { guard.mutex().unlock(); }
void take(MutexGuard& guard) { guard.mutex().lock(); }

}  // namespace

template <class Guard>
Result<> WaitQueue::sleep_generic(Guard& guard, Ticks deadline, bool interruptible) {
  Thread& thread = Thread::current();
  Waiter waiter(thread);
  // Before it can be found in the queue: whoever takes it out and wakes it does so for good.
  scheduler::begin_block(interruptible);
  {
    SpinGuard own(lock_);
    waiters_.push_back(waiter);
  }
  release(guard);
  may_sleep();
  {
    WakeUpAlarm alarm(thread, deadline);
    if (interruptible && thread.signal_pending.load()) {
      scheduler::cancel_block();
    } else {
      scheduler::block();
    }
  }
  bool woken;
  {
    SpinGuard own(lock_);
    woken = !waiter.linked();
    if (!woken) waiter.unlink();
  }
  take(guard);
  if (woken) return {};
  if (interruptible && thread.signal_pending.load()) return failure(KernelError::Interrupted);
  if (deadline <= clock::now()) return failure(KernelError::TimedOut);
  return {};
}

void WaitQueue::sleep(SpinGuard& guard) { (void)sleep_generic(guard, Ticks::forever(), false); }
Result<> WaitQueue::sleep_interruptible(SpinGuard& guard) {
  return sleep_generic(guard, Ticks::forever(), true);
}
Result<> WaitQueue::sleep_until(SpinGuard& guard, Ticks deadline) {
  return sleep_generic(guard, deadline, false);
}
Result<> WaitQueue::sleep_interruptible_until(SpinGuard& guard, Ticks deadline) {
  return sleep_generic(guard, deadline, true);
}

Result<> WaitQueue::sleep_interruptible(MutexGuard& guard) {
  return sleep_generic(guard, Ticks::forever(), true);
}

unsigned WaitQueue::wake_one() {
  SpinGuard own(lock_);
  Waiter* const waiter = waiters_.pop_front();
  if (waiter == nullptr) return 0;
  // Under the lock: the sleeper cannot leave, and its Waiter not go, before it is released.
  scheduler::wake(waiter->thread);
  return 1;
}

unsigned WaitQueue::wake_all() {
  SpinGuard own(lock_);
  unsigned woken = 0;
  while (Waiter* const waiter = waiters_.pop_front()) {
    scheduler::wake(waiter->thread);
    ++woken;
  }
  return woken;
}

}  // namespace faultline
