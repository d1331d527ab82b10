#pragma once
// What each hart has to run, and which hart runs what: a woken thread goes into the queue of the hart that
// woke it, if it may run there and unless that queue is long, no hart is idle and another's is shorter. What
// waits in a queue for a while, an idle hart is told to take.

#include <array>
#include <atomic>
#include <cstdint>

#include "kernel/dev/clock.hpp"
#include "kernel/lib/list.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/mm/hart_local.hpp"
#include "kernel/riscv/hart.hpp"
#include "kernel/sched/thread.hpp"

namespace faultline {

/// What one hart has to run. `lock` covers the list; the rest belongs to the hart.
struct alignas(kCacheLine) RunQueue {
  SpinLock lock{LockRank::Scheduler};
  List<Thread, RunQueueTag> threads;
  // Written under lock; others look at it to see whether stealing is worth it.
  std::atomic<std::uint32_t> length = 0;

  Thread* previous = nullptr;          // who was switched away from, until finish_switch has seen to it
  Ticks slice_end = Ticks::forever();  // forever: nobody waits, so the slice does not end
  bool slice_over = false;
  Ticks share_at = Ticks::forever();  // when an idle hart is to be told that somebody still waits here
  std::atomic<std::uint64_t> switches = 0;
  std::atomic<std::uint64_t> idle_ticks = 0;
};

/// By HartId.
extern std::array<RunQueue, kMaxHarts> run_queues;
/// Bit for each hart in its idle loop's wait.
extern std::atomic<std::uint64_t> idle_harts;

inline RunQueue& run_queue_of(const Hart& hart) { return run_queues[static_cast<std::size_t>(hart.id)]; }
inline std::uint64_t bit_of(const Hart& hart) { return HartSet::of(hart.id).bits(); }
inline bool may_run_on(const Thread& thread, const Hart& hart) {
  return (thread.allowed_harts.load(std::memory_order_relaxed) & bit_of(hart)) != 0;
}

/// Puts a thread that is Runnable, in no queue, and whose registers are saved, where it will get its turn.
void enqueue(Thread& thread);

/// The harts that a thread may run on have changed: if it stands in the queue of another, it goes to one of
/// them.
void move_waiting(Thread& thread);

/// Takes out the next thread for this hart: its own first, then another's; null when there is none.
Thread* take_next();

/// Starts the slice of the thread that has run since `since` to run out, because somebody waits now.
void limit_slice(RunQueue& queue, Ticks since);

/// Tells one idle hart that somebody waits in this hart's queue whom it may run.
void share_waiting();

/// True when a thread that this hart may run stands in some queue.
bool has_work_for(const Hart& hart);

}  // namespace faultline
