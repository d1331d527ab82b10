#pragma once
// Interrupts are taken where the kernel is ready for them: on the way from and to user mode, when idle, and
// at preemption points. None is ever taken in the middle of kernel code (trap.S).

namespace faultline::interrupts {

/// Makes timer, software and external interrupts wake and interrupt this hart.
void enable_on_this_hart();

/// Serves everything that is pending for this hart, and what other harts have asked of it. No lock is held.
void poll();

}  // namespace faultline::interrupts
