#pragma once
// The hart's one hardware timer: it serves the earliest of the hart's timers (dev/clock.hpp) and the end of
// the time slice.

#include "kernel/lib/time.hpp"

namespace faultline::timer {

/// Uses stimecmp on this hart if `sstc` says that the hart has it (and it works: the firmware must have let
/// us); the SBI call otherwise.
void initialize_hart(bool sstc);

/// Makes the interrupt come at `deadline`, unless it comes earlier anyway.
void program(Ticks deadline);

/// Called at the interrupt: takes it back and forgets what was programmed.
void acknowledge();

}  // namespace faultline::timer
