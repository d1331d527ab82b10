#include "kernel/sched/scheduler.hpp"

#include <utility>

#include "kernel/dev/block_device.hpp"
#include "kernel/dev/clock.hpp"
#include "kernel/mm/tlb.hpp"
#include "kernel/riscv/csr.hpp"
#include "kernel/riscv/memory.hpp"
#include "kernel/riscv/memory_map.hpp"
#include "kernel/riscv/shootdown.hpp"
#include "kernel/riscv/timer.hpp"
#include "kernel/sched/interrupts.hpp"
#include "kernel/sched/load_average.hpp"
#include "kernel/sched/run_queue.hpp"

extern "C" {
void switch_context(faultline::SwitchContext& from, const faultline::SwitchContext& to,
                    faultline::ThreadControl& next);
void finish_switch();
[[noreturn]] void exit_kernel_thread();
}

namespace faultline {

namespace {

using State = Thread::State;

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
    // Before satp: so the walker also sees the tables of a space that is new to this hart. After it as well
    // where the old space may have the same number.
    if (activation.flush == Activation::Flush::Space) csr::fence_translations(asid);
    if (activation.flush == Activation::Flush::Everything) csr::fence_translations();
    csr::write_satp(csr::kSatpSv39 | asid << csr::kSatpAsidShift | activation.root.page_number());
    if (activation.flush == Activation::Flush::Everything) csr::fence_translations();
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
  RunQueue& queue = run_queue_of(hart);
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
  Thread* const next = take_next();
  switch_to(next != nullptr ? *next : *Hart::current().idle);
}

/// Drops what the scheduler holds of a thread that has run for the last time.
void bury(Thread& thread) {
  Process* const process = thread.process;
  {
    const Ref<Thread> last = Ref<Thread>::adopt(&thread);
  }
  if (process != nullptr) scheduler::thread_gone(*process);
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
  Thread* next = take_next();
  if (next == nullptr) {
    run_queue_of(Hart::current()).slice_over = false;
    run_queue_of(Hart::current()).slice_end = Ticks::forever();
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
  if (run_queue_of(Hart::current()).slice_over) yield();
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

void allow_harts(Thread& thread, std::uint64_t allowed) {
  thread.allowed_harts = allowed;
  move_waiting(thread);
  // Where it runs, or is about to, may be another hart now than a moment ago; each looks for itself.
  for (unsigned i = 0; i < hart_count(); ++i) {
    if (!may_run_on(thread, harts[i])) request(harts[i], hart_state::kReschedule);
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
  RunQueue& queue = run_queue_of(Hart::current());
  const Thread& current = Thread::current();
  if (queue.length.load() != 0) limit_slice(queue, current.running_since());
  if (!may_run_on(current, Hart::current())) queue.slice_over = true;
}

void handle_timer() {
  clock::run_expired_timers();
  RunQueue& queue = run_queue_of(Hart::current());
  const Ticks now = clock::now();
  if (queue.slice_end <= now) {
    queue.slice_over = true;
  } else {
    timer::program(queue.slice_end);
  }
  if (queue.share_at <= now) {
    queue.share_at = Ticks::forever();
    share_waiting();
  } else {
    timer::program(queue.share_at);
  }
  timer::program(clock::next_timer());
}

std::uint64_t context_switches() {
  std::uint64_t total = 0;
  for (const RunQueue& queue : run_queues) total += queue.switches.load(std::memory_order_relaxed);
  return total;
}

Ticks idle_time() {
  std::uint64_t total = 0;
  for (const RunQueue& queue : run_queues) total += queue.idle_ticks.load(std::memory_order_relaxed);
  return Ticks(total);
}

Ticks idle_time(const Hart& hart) {
  return Ticks(run_queue_of(hart).idle_ticks.load(std::memory_order_relaxed));
}

unsigned runnable_threads() {
  unsigned total = 0;
  for (unsigned i = 0; i < hart_count(); ++i) {
    total += run_queues[i].length.load(std::memory_order_relaxed);
    if ((idle_harts.load(std::memory_order_relaxed) & bit_of(harts[i])) == 0) ++total;
  }
  return total;
}

namespace {

/// While all harts wait, an emulator that counts instructions for time (QEMU's -icount sleep=off) lets its
/// clock leap to the next timer at once, however soon the disk would answer: it must find one near by. The
/// hart that goes to sleep last sees to that.
void keep_clock_near_while_disk_works() {
  constexpr std::uint64_t kAnswerNanoseconds = 20'000;
  if (!BlockRequest::any_in_flight() || idle_harts.load() != online_harts().bits()) return;
  timer::program(clock::now() + clock::from_nanoseconds(kAnswerNanoseconds));
}

/// Waits for an interrupt, unless there is work or somebody has asked for something.
void wait_for_work(Hart& hart) {
  idle_harts.fetch_or(bit_of(hart));
  const std::uint64_t old = hart.state.fetch_or(hart_state::kIdle);
  // Whoever enqueues a thread from now on sees one of the two bits, and the request wakes this hart. What was
  // enqueued before stands in a queue.
  if ((old & hart_state::kRequests) == 0 && !has_work_for(hart)) {
    keep_clock_near_while_disk_works();
    const Ticks start = clock::now();
    csr::wait_for_interrupt();
    auto& idle = run_queue_of(hart).idle_ticks;
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
    if (Thread* const next = take_next()) {
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
  Thread& previous = *std::exchange(run_queue_of(Hart::current()).previous, nullptr);
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
