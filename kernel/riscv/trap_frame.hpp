#pragma once
// The registers of a user program while the kernel works for it.

#include <cstddef>
#include <cstdint>

namespace faultline {

/// Stands at the top of the thread's kernel stack. trap.S saves and restores it; the order is that of Linux's
/// user_regs_struct (pc, then x1 … x31), which is also the order of a signal frame.
///
/// sstatus is not here on purpose: the kernel enters user mode always with the same one, but for the state of
/// the floating-point registers, which belongs to the thread (sched/fp.hpp). So no restored frame can raise
/// privilege.
struct TrapFrame {
  std::uint64_t pc;
  std::uint64_t ra, sp, gp, tp;
  std::uint64_t t0, t1, t2;
  std::uint64_t s0, s1;
  std::uint64_t a0, a1, a2, a3, a4, a5, a6, a7;
  std::uint64_t s2, s3, s4, s5, s6, s7, s8, s9, s10, s11;
  std::uint64_t t3, t4, t5, t6;
};
static_assert(sizeof(TrapFrame) == 32 * 8 && offsetof(TrapFrame, t6) == 31 * 8);

}  // namespace faultline
