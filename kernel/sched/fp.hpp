#pragma once
// Floating-point state of user threads. The kernel itself is compiled without floating point.
//
// A hart's registers belong to one thread at a time (Hart::fp_owner). A thread starts with sstatus.FS = Off;
// its first floating-point instruction traps and gives it the registers. At a switch they are stored only if
// the hardware says they changed (FS = Dirty), and loaded only if the hart's registers are not still the
// thread's own.

#include <array>
#include <cstdint>

namespace faultline {

class Thread;

/// f0 … f31 and fcsr, as in Linux's __riscv_d_ext_state.
struct FpState {
  std::array<std::uint64_t, 32> f{};
  std::uint32_t fcsr = 0;
};

namespace fp {

/// For the switcher: `thread` gives up the hart; `thread` gets it. Only threads with a process are given
/// here.
void leave(Thread& thread);
void enter(Thread& thread);

/// Called at an illegal instruction: if the current thread has not had the registers yet, gives them to it,
/// and the instruction is worth another try. False when the instruction is illegal for another reason.
bool use_first_time();

/// The current thread's registers as they are now (for a signal frame). All zero when it never used them.
const FpState& save_current();

/// Gives the current thread these registers (sigreturn). Only the defined bits of fcsr are taken.
void replace_current(const FpState& state);

/// The current thread starts anew, as after execve: all zero.
void clear_current();

/// `child`, which has not run yet, gets the current thread's registers (clone).
void copy_current_to(Thread& child);

}  // namespace fp
}  // namespace faultline
