#include "kernel/proc/scheduler.hpp"

#include <algorithm>
#include <bit>

#include "kernel/dev/clock.hpp"
#include "kernel/mm/hart_local.hpp"
#include "kernel/mm/tlb.hpp"
#include "kernel/proc/load_average.hpp"
#include "kernel/proc/trap_hooks.hpp"
#include "kernel/riscv/csr.hpp"
#include "kernel/riscv/interrupts.hpp"
#include "kernel/riscv/memory.hpp"
#include "kernel/riscv/memory_map.hpp"
#include "kernel/riscv/shootdown.hpp"
#include "kernel/riscv/timer.hpp"

extern "C" {
void switch_context(faultline::SwitchContext& from, const faultline::SwitchContext& to,
                    faultline::ThreadControl& next);
void finish_switch();
[[noreturn]] void exit_kernel_thread();
}

namespace faultline {

namespace {

using State = Thread::State;

/// What one hart has to run. `lock` covers the list; the rest belongs to the hart.
struct alignas(kCacheLine) RunQueue {
  SpinLock lock{LockRank::Scheduler};
  List<Thread, RunQueueTag> threads;
  std::atomic<std::uint32_t> length =
      0;  // written under lock; others look at it to see whether stealing is worth it

  Thread* previous = nullptr;          // who was switched away from, until finish_switch has seen to it
  Ticks slice_end = Ticks::forever();  // forever: nobody waits, so the slice does not end
  bool slice_over = false;
  Ticks share_at = Ticks::forever();  // when an idle hart is to be told that somebody still waits here
  std::atomic<std::uint64_t> switches = 0;
  std::atomic<std::uint64_t> idle_ticks = 0;
};

std::array<RunQueue, kMaxHarts> queues;
std::atomic<std::uint64_t> idle_harts = 0;  // bit for each hart in its idle loop's wait

constexpr std::uint64_t kSliceNanoseconds = 10'000'000;
constexpr std::uint64_t kShareNanoseconds = 50'000;

std::size_t index_of(const Hart& hart) { return static_cast<std::size_t>(hart.id); }
RunQueue& own_queue() { return queues[index_of(Hart::current())]; }
std::uint64_t bit_of(const Hart& hart) { return HartSet::of(hart.id).bits(); }

bool may_run_on(const Thread& thread, const Hart& hart) {
  return (thread.allowed_harts.load(std::memory_order_relaxed) & bit_of(hart)) != 0;
}

/// Starts the slice of the thread that has run since `since` to run out, because somebody waits now.
void limit_slice(RunQueue& queue, Ticks since) {
  if (!queue.slice_end.is_forever()) return;
  queue.slice_end = since + clock::from_nanoseconds(kSliceNanoseconds);
  timer::program(queue.slice_end);
}

/// Where a runnable thread goes. This hart, if it may run here: whoever wakes another thread mostly sleeps
/// soon itself (a pipe, a disk request that idle harts finish), and handing the thread to another hart costs
/// an interrupt and cold caches. If it does not get its turn soon, an idle hart is told to take it
/// (share_at). When no hart is idle, a clearly shorter queue is better.
Hart& choose_hart(const Thread& thread) {
  const std::uint64_t online = online_harts().bits();
  std::uint64_t allowed = thread.allowed_harts.load(std::memory_order_relaxed) & online;
  if (allowed == 0) allowed = online;
  Hart& here = Hart::current();
  if ((allowed & bit_of(here)) == 0) return harts[static_cast<std::size_t>(std::countr_zero(allowed))];
  Hart* best = &here;
  std::uint32_t shortest = queues[index_of(here)].length.load(std::memory_order_relaxed);
  if (shortest < 2 || (idle_harts.load(std::memory_order_relaxed) & allowed) != 0) return here;
  --shortest;  // moving must be worth it
  for (unsigned i = 0; i < hart_count(); ++i) {
    const std::uint32_t length = queues[i].length.load(std::memory_order_relaxed);
    if ((allowed & bit_of(harts[i])) == 0 || length >= shortest) continue;
    best = &harts[i];
    shortest = length;
  }
  return *best;
}

/// Tells one idle hart that there is something to take from this hart's queue.
void wake_idle_hart() {
  std::uint64_t idle = idle_harts.load();
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

/// The thread is Runnable and in no queue; its registers are saved.
void enqueue(Thread& thread) {
  Hart& hart = choose_hart(thread);
  RunQueue& queue = queues[index_of(hart)];
  std::uint32_t length;
  {
    SpinGuard guard(queue.lock);
    queue.threads.push_back(thread);
    length = queue.length.load(std::memory_order_relaxed) + 1;
    queue.length.store(length);
  }
  if (&hart != &Hart::current()) {
    request(hart, hart_state::kReschedule);
  } else if (length > 1) {
    limit_slice(queue, Thread::current().running_since());
    if (idle_harts.load() != 0) wake_idle_hart();
  } else if (&Thread::current() != hart.idle) {
    limit_slice(queue, Thread::current().running_since());
    if (queue.share_at.is_forever() && idle_harts.load() != 0) {
      queue.share_at = clock::now() + clock::from_nanoseconds(kShareNanoseconds);
      timer::program(queue.share_at);
    }
  }
}

/// Takes the first thread that may run here out of a queue.
Thread* take_from(RunQueue& queue, const Hart& hart) {
  if (queue.length.load() == 0) return nullptr;
  SpinGuard guard(queue.lock);
  for (Thread& thread : queue.threads) {
    if (!may_run_on(thread, hart)) continue;
    static_cast<ListNode<RunQueueTag>&>(thread).unlink();
    queue.length.store(queue.length.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    return &thread;
  }
  return nullptr;
}

/// The next thread for this hart: its own first, then another's; null when there is none.
Thread* choose_next() {
  const Hart& hart = Hart::current();
  const std::size_t self = index_of(hart);
  for (std::size_t i = 0; i < hart_count(); ++i) {
    if (Thread* const thread = take_from(queues[(self + i) % hart_count()], hart)) return thread;
  }
  return nullptr;
}

/// Makes satp translate for `space` (null: the kernel alone) and tells the space. The old one is told after
/// satp has left it (mm/tlb.hpp).
void switch_space(Hart& hart, Space* space) {
  Space* const old = hart.space;
  if (old == space) return;
  if (space == nullptr) {
    csr::write_satp(kernel_satp());
  } else {
    const Activation activation = space->activate(hart.id);
    const auto asid = static_cast<std::uint64_t>(activation.asid);
    csr::write_satp(csr::kSatpSv39 | asid << csr::kSatpAsidShift | activation.root.page_number());
    switch (activation.flush) {
      case Activation::Flush::Nothing:
        break;
      case Activation::Flush::Space:
        csr::fence_translations(asid);
        break;
      case Activation::Flush::Everything:
        csr::fence_translations();
        break;
    }
  }
  hart.space = space;
  if (old != nullptr) old->deactivate(hart.id);
}

/// Until now: this hart's idle thread wanted none, and whoever is about to take its place has only just come.
unsigned threads_wanting_a_hart(const Thread& current) {
  const unsigned wanting = scheduler::runnable_threads();
  return &current == Hart::current().idle && wanting > 0 ? wanting - 1 : wanting;
}

/// Leaves the current thread, whose state says why, for `next`. Returns when somebody switches back.
void switch_to(Thread& next) {
  may_sleep();
  Hart& hart = Hart::current();
  RunQueue& queue = queues[index_of(hart)];
  Thread& previous = Thread::current();
  const Ticks now = clock::now();
  if (load_average::is_due(now)) [[unlikely]]
    load_average::take_sample(now, threads_wanting_a_hart(previous));
  previous.stop_running(now);
  next.start_running(now);
  queue.slice_over = false;
  queue.slice_end = Ticks::forever();
  if (queue.length.load(std::memory_order_relaxed) != 0) limit_slice(queue, now);
  queue.switches.store(queue.switches.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);

  if (previous.process != nullptr) fp::leave(previous);
  if (next.process != nullptr) fp::enter(next);
  switch_space(hart, next.space);
  kernel_stacks::make_visible(next.stack().generation());
  next.hart = &hart;
  next.scheduling_state.store(State::Running, std::memory_order_release);  // after `hart`, for interrupt()
  queue.previous = &previous;
  switch_context(previous.context, next.context, next);
  finish_switch();
}

/// Runs another thread if there is one, else idles. The current thread's state says that it does not go on.
void switch_away() {
  Thread* const next = choose_next();
  switch_to(next != nullptr ? *next : *Hart::current().idle);
}

/// Drops what the scheduler holds of a thread that has run for the last time.
void bury(Thread& thread) {
  Process* const process = thread.process;
  {
    const Ref<Thread> last = Ref<Thread>::adopt(&thread);
  }
  if (process != nullptr) user_thread_gone(*process);
}

}  // namespace

namespace scheduler {

void start(Ref<Thread> thread) {
  Thread& started = *thread.leak();
  ASSERT(started.state() == State::Created);
  started.scheduling_state.store(State::Runnable, std::memory_order_relaxed);
  enqueue(started);
}

void yield() {
  Thread& current = Thread::current();
  Hart& hart = Hart::current();
  Thread* next = choose_next();
  if (next == nullptr) {
    own_queue().slice_over = false;
    own_queue().slice_end = Ticks::forever();
    if (may_run_on(current, hart) || &current == hart.idle) return;
    next = hart.idle;
  }
  current.scheduling_state.store(State::Runnable, std::memory_order_relaxed);
  switch_to(*next);
}

void exit_current() {
  Thread::current().scheduling_state.store(State::Exited, std::memory_order_relaxed);
  switch_away();
  panic("a thread ran after its end");
}

void preemption_point() {
  may_sleep();
  interrupts::poll();
  reschedule_if_needed();
}

void reschedule_if_needed() {
  if (own_queue().slice_over) yield();
}

void interrupt(Thread& thread) {
  const State state = thread.scheduling_state.load();
  if (state == State::Blocking || state == State::Blocked) {
    if (thread.interruptible.load()) wake(thread);
    return;
  }
  // In user mode it does not look at its flags by itself. If it has moved on meanwhile, the interrupt is
  // spurious.
  if (state == State::Running && &thread != &Thread::current()) {
    Hart& hart = *thread.hart;
    if ((hart.state.load() & hart_state::kUserMode) != 0) shootdown::interrupt_hart(hart);
  }
}

void use_space(Space* space) {
  Thread::current().space = space;
  switch_space(Hart::current(), space);
}

void begin_block(bool interruptible) {
  Thread& thread = Thread::current();
  thread.interruptible.store(interruptible, std::memory_order_relaxed);
  // Before the caller looks at signal_pending: interrupt() sets that first and then looks at this.
  thread.scheduling_state.store(State::Blocking);
}

void block() {
  Thread& thread = Thread::current();
  if (thread.scheduling_state.load() == State::Woken) {
    thread.scheduling_state.store(State::Running, std::memory_order_relaxed);
    return;
  }
  switch_away();
}

void cancel_block() { Thread::current().scheduling_state.store(State::Running); }

void wake(Thread& thread) {
  State state = thread.scheduling_state.load();
  for (;;) {
    if (state == State::Blocking) {
      if (thread.scheduling_state.compare_exchange_weak(state, State::Woken)) return;
    } else if (state == State::Blocked) {
      if (!thread.scheduling_state.compare_exchange_weak(state, State::Runnable)) continue;
      enqueue(thread);
      return;
    } else {
      return;
    }
  }
}

void handle_reschedule_request() {
  RunQueue& queue = own_queue();
  if (queue.length.load() != 0) limit_slice(queue, Thread::current().running_since());
}

void handle_timer() {
  clock::run_expired_timers();
  RunQueue& queue = own_queue();
  const Ticks now = clock::now();
  if (queue.slice_end <= now) {
    queue.slice_over = true;
  } else {
    timer::program(queue.slice_end);
  }
  if (queue.share_at <= now) {
    queue.share_at = Ticks::forever();
    if (queue.length.load() != 0) wake_idle_hart();
  } else {
    timer::program(queue.share_at);
  }
  timer::program(clock::next_timer());
}

std::uint64_t context_switches() {
  std::uint64_t total = 0;
  for (const RunQueue& queue : queues) total += queue.switches.load(std::memory_order_relaxed);
  return total;
}

Ticks idle_time() {
  std::uint64_t total = 0;
  for (const RunQueue& queue : queues) total += queue.idle_ticks.load(std::memory_order_relaxed);
  return Ticks(total);
}

Ticks idle_time(const Hart& hart) {
  return Ticks(queues[index_of(hart)].idle_ticks.load(std::memory_order_relaxed));
}

unsigned runnable_threads() {
  unsigned total = 0;
  for (unsigned i = 0; i < hart_count(); ++i) {
    total += queues[i].length.load(std::memory_order_relaxed);
    if ((idle_harts.load(std::memory_order_relaxed) & bit_of(harts[i])) == 0) ++total;
  }
  return total;
}

namespace {

/// Waits for an interrupt, unless there is work or somebody has asked for something.
void wait_for_work(Hart& hart) {
  idle_harts.fetch_or(bit_of(hart));
  const std::uint64_t old = hart.state.fetch_or(hart_state::kIdle);
  // Whoever enqueues a thread from now on sees one of the two bits, and the request wakes this hart. What was
  // enqueued before stands in a queue.
  bool work = (old & hart_state::kRequests) != 0;
  for (unsigned i = 0; i < hart_count(); ++i) work |= queues[i].length.load() != 0;
  if (!work) {
    const Ticks start = clock::now();
    csr::wait_for_interrupt();
    auto& idle = queues[index_of(hart)].idle_ticks;
    idle.store(idle.load(std::memory_order_relaxed) + (clock::now() - start).count(),
               std::memory_order_relaxed);
  }
  idle_harts.fetch_and(~bit_of(hart));
  hart.state.fetch_and(~hart_state::kIdle);
}

}  // namespace

void run_idle_loop() {
  Hart& hart = Hart::current();
  for (;;) {
    interrupts::poll();
    if (Thread* const next = choose_next()) {
      Thread::current().scheduling_state.store(State::Runnable, std::memory_order_relaxed);
      switch_to(*next);
    } else if (!memory::prepare_zeroed_frame()) {
      wait_for_work(hart);
    }
  }
}

}  // namespace scheduler
}  // namespace faultline

using namespace faultline;

/// Runs on the new thread's stack: only now are the previous thread's registers saved and its stack not in
/// use.
void finish_switch() {
  Thread& previous = *std::exchange(own_queue().previous, nullptr);
  State state = previous.scheduling_state.load();
  if (state == State::Blocking && previous.scheduling_state.compare_exchange_strong(state, State::Blocked))
    return;
  if (state == State::Exited) {
    bury(previous);
    return;
  }
  if (&previous == Hart::current().idle) return;
  // It gave way, or was woken before it had left.
  previous.scheduling_state.store(State::Runnable);
  enqueue(previous);
}

void exit_kernel_thread() { scheduler::exit_current(); }
