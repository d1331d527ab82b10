#pragma once
// From the firmware's entry to a machine that can run threads.

namespace faultline {

/// Starts the harts that wait in the firmware; returns when each runs its idle loop or has been given up,
/// with one line for the latter. Called once, from the first hart.
void start_other_harts();

}  // namespace faultline

/// The portable start-up sequence (main.cpp), called on the first hart when memory, traps and time work. Its
/// thread is that hart's idle thread, so it may not sleep.
extern "C" [[noreturn]] void kernel_main();
