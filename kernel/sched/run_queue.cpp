#include "kernel/sched/run_queue.hpp"

#include <bit>
#include <optional>

#include "kernel/riscv/timer.hpp"
#include "kernel/sched/scheduler.hpp"

namespace faultline {

std::array<RunQueue, kMaxHarts> run_queues;
std::atomic<std::uint64_t> idle_harts = 0;

namespace {

constexpr std::uint64_t kShareNanoseconds = 50'000;

/// Bit for each hart that may run the thread.
std::uint64_t harts_for(const Thread& thread) {
  return thread.allowed_harts.load(std::memory_order_relaxed) & online_harts().bits();
}

/// Where a runnable thread for these harts goes. This hart, if it may run here: whoever wakes another thread
/// mostly sleeps soon itself (a pipe, a disk request that idle harts finish), and handing the thread to
/// another hart costs an interrupt and cold caches. If it does not get its turn soon, an idle hart is told to
/// take it (share_at). When no hart is idle, a clearly shorter queue is better.
Hart& choose_hart(std::uint64_t allowed) {
  Hart& here = Hart::current();
  if ((allowed & bit_of(here)) == 0) return harts[static_cast<std::size_t>(std::countr_zero(allowed))];
  Hart* best = &here;
  std::uint32_t shortest = run_queue_of(here).length.load(std::memory_order_relaxed);
  if (shortest < 2 || (idle_harts.load(std::memory_order_relaxed) & allowed) != 0) return here;
  --shortest;  // moving must be worth it
  for (unsigned i = 0; i < hart_count(); ++i) {
    const std::uint32_t length = run_queues[i].length.load(std::memory_order_relaxed);
    if ((allowed & bit_of(harts[i])) == 0 || length >= shortest) continue;
    best = &harts[i];
    shortest = length;
  }
  return *best;
}

/// How many stand in the hart's queue with the thread; nothing if it may not run there any more. That is seen
/// here or, in the queue, by move_waiting.
std::optional<std::uint32_t> append(RunQueue& queue, Thread& thread, const Hart& hart) {
  SpinGuard guard(queue.lock);
  if (!may_run_on(thread, hart)) return std::nullopt;
  queue.threads.push_back(thread);
  const std::uint32_t length = queue.length.load(std::memory_order_relaxed) + 1;
  queue.length.store(length);
  return length;
}

void take_out(RunQueue& queue, Thread& thread, const SpinGuard&) {
  static_cast<ListNode<RunQueueTag>&>(thread).unlink();
  queue.length.store(queue.length.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

/// Takes the first thread that may run here out of a queue.
Thread* take_from(RunQueue& queue, const Hart& hart) {
  if (queue.length.load() == 0) return nullptr;
  SpinGuard guard(queue.lock);
  for (Thread& thread : queue.threads) {
    if (!may_run_on(thread, hart)) continue;
    take_out(queue, thread, guard);
    return &thread;
  }
  return nullptr;
}

/// Tells one idle hart among `allowed` that there is something to take.
void wake_idle_hart(std::uint64_t allowed) {
  std::uint64_t idle = idle_harts.load() & allowed;
  while (idle != 0) {
    const std::uint64_t chosen = idle & -idle;
    // Whoever clears the bit sends the request, so that two wakers choose two harts.
    if ((idle_harts.fetch_and(~chosen) & chosen) != 0) {
      request(harts[static_cast<std::size_t>(std::countr_zero(chosen))], hart_state::kReschedule);
      return;
    }
    idle &= ~chosen;
  }
}

}  // namespace

void limit_slice(RunQueue& queue, Ticks since) {
  if (!queue.slice_end.is_forever()) return;
  queue.slice_end = since + clock::from_nanoseconds(scheduler::kSliceNanoseconds);
  timer::program(queue.slice_end);
}

void enqueue(Thread& thread) {
  std::uint64_t allowed;
  Hart* chosen;
  std::optional<std::uint32_t> waiting;
  do {
    allowed = harts_for(thread);
    chosen = &choose_hart(allowed);
    waiting = append(run_queue_of(*chosen), thread, *chosen);
  } while (!waiting);
  Hart& hart = *chosen;
  RunQueue& queue = run_queue_of(hart);
  const std::uint32_t length = *waiting;
  if (&hart != &Hart::current()) {
    request(hart, hart_state::kReschedule);
  } else if (length > 1) {
    limit_slice(queue, Thread::current().running_since());
    wake_idle_hart(allowed);
  } else if (&Thread::current() != hart.idle) {
    limit_slice(queue, Thread::current().running_since());
    if (queue.share_at.is_forever() && (idle_harts.load() & allowed) != 0) {
      queue.share_at = clock::now() + clock::from_nanoseconds(kShareNanoseconds);
      timer::program(queue.share_at);
    }
  }
}

void share_waiting() {
  RunQueue& queue = run_queue_of(Hart::current());
  if (queue.length.load() == 0) return;
  std::uint64_t wanted = 0;
  {
    SpinGuard guard(queue.lock);
    for (Thread& thread : queue.threads) wanted |= harts_for(thread);
  }
  wake_idle_hart(wanted);
}

namespace {

/// True when the thread stood in the queue.
bool leave(RunQueue& queue, Thread& thread) {
  SpinGuard guard(queue.lock);
  for (const Thread& waiting : queue.threads) {
    if (&waiting != &thread) continue;
    take_out(queue, thread, guard);
    return true;
  }
  return false;
}

}  // namespace

void move_waiting(Thread& thread) {
  for (unsigned i = 0; i < hart_count(); ++i) {
    if (may_run_on(thread, harts[i]) || !leave(run_queues[i], thread)) continue;
    enqueue(thread);
    return;
  }
}

bool has_work_for(const Hart& hart) {
  for (unsigned i = 0; i < hart_count(); ++i) {
    RunQueue& queue = run_queues[i];
    if (queue.length.load() == 0) continue;
    SpinGuard guard(queue.lock);
    for (const Thread& thread : queue.threads) {
      if (may_run_on(thread, hart)) return true;
    }
  }
  return false;
}

Thread* take_next() {
  const Hart& hart = Hart::current();
  const auto self = static_cast<std::size_t>(hart.id);
  for (std::size_t i = 0; i < hart_count(); ++i) {
    if (Thread* const thread = take_from(run_queues[(self + i) % hart_count()], hart)) return thread;
  }
  return nullptr;
}

}  // namespace faultline
