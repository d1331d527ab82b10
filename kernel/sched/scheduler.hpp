#pragma once
// Which thread runs where, and when another gets its turn.
//
// Each hart has a queue of runnable threads, first in first out, and takes from the others' queues when its
// own is empty. Where a woken thread goes says run_queue.hpp. A time slice ends only while somebody waits in
// the queue: a thread that is alone on its hart is never interrupted for the scheduler's sake.

#include <cstdint>

#include "kernel/lib/ref.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/sched/thread.hpp"

namespace faultline::scheduler {

/// How long a thread runs before others that wait for its hart have their turn.
inline constexpr std::uint64_t kSliceNanoseconds = 10'000'000;

/// Makes a created thread runnable. It keeps one reference until it has exited.
void start(Ref<Thread> thread);

/// Lets other runnable threads run first.
void yield();

/// Ends the current thread. It must not hold anything; a thread of a process has left it.
[[noreturn]] void exit_current();

/// Serves interrupts and fence requests and gives way if the slice is over. Long loops call it; no lock is
/// held, or only sleeping ones.
void preemption_point();

/// Ends an interruptible sleep of `thread`, and makes it leave user mode soon if it is there. The caller has
/// set signal_pending or user_work.
void interrupt(Thread& thread);

/// From now on `thread` runs on these harts only (bits by HartId). Wherever else it runs it soon leaves. The
/// caller keeps it from exiting; the current thread should yield.
void allow_harts(Thread& thread, std::uint64_t allowed);

/// From now on the current thread runs in `space` (null: only in the kernel), on this hart at once. The one
/// used so far is given up and may then be destroyed, if no other thread runs in it.
///
/// A Space is active on a hart only while one of its threads is the current one there: switching to the idle
/// thread or to a kernel thread gives it up. So a single-threaded process never causes a remote fence, and
/// when the last thread of a process has left, no hart's satp points to its tables.
void use_space(Space* space);

/// For the sleeping primitives. begin_block announces that the current thread is about to sleep; from then on
/// wake() has effect. block() sleeps until then and returns at once if it has come; cancel_block takes the
/// announcement back.
void begin_block(bool interruptible);
void block();
void cancel_block();
/// Makes a thread that sleeps, or is about to, runnable; nothing for others. The caller keeps it from
/// exiting.
void wake(Thread& thread);

/// For the trap and interrupt code: gives way if the slice is over; another hart has put a thread into this
/// hart's queue, or forbidden a thread to run here; the hardware timer has fired.
void reschedule_if_needed();
void handle_reschedule_request();
void handle_timer();

/// Totals for /proc.
std::uint64_t context_switches();
Ticks idle_time();
Ticks idle_time(const Hart& hart);
unsigned runnable_threads();

/// The rest of a hart's life: run threads, or wait for some.
[[noreturn]] void run_idle_loop();

/// Seam: defined by whoever owns processes (proc/exit.cpp). A thread of `process` is gone for good: it runs
/// no more and its kernel stack is free. The last one makes the process a zombie that its parent may wait
/// for, so whoever has waited finds all memory returned. Takes LockRank::Process, so the caller holds no
/// lock.
void thread_gone(Process& process);

}  // namespace faultline::scheduler
