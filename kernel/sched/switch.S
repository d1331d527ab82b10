// From one thread to another: the callee-saved registers, for the rest is on the stack by the calling convention.

#include "kernel/riscv/layout.h"

  .text
  // void switch_context(SwitchContext& from, const SwitchContext& to, ThreadControl& next)
  .globl switch_context
switch_context:
  sd ra, SWITCH_RA(a0)
  sd sp, SWITCH_SP(a0)
  sd s0, SWITCH_S + 0(a0)
  sd s1, SWITCH_S + 8(a0)
  sd s2, SWITCH_S + 16(a0)
  sd s3, SWITCH_S + 24(a0)
  sd s4, SWITCH_S + 32(a0)
  sd s5, SWITCH_S + 40(a0)
  sd s6, SWITCH_S + 48(a0)
  sd s7, SWITCH_S + 56(a0)
  sd s8, SWITCH_S + 64(a0)
  sd s9, SWITCH_S + 72(a0)
  sd s10, SWITCH_S + 80(a0)
  sd s11, SWITCH_S + 88(a0)
  ld ra, SWITCH_RA(a1)
  ld sp, SWITCH_SP(a1)
  ld s0, SWITCH_S + 0(a1)
  ld s1, SWITCH_S + 8(a1)
  ld s2, SWITCH_S + 16(a1)
  ld s3, SWITCH_S + 24(a1)
  ld s4, SWITCH_S + 32(a1)
  ld s5, SWITCH_S + 40(a1)
  ld s6, SWITCH_S + 48(a1)
  ld s7, SWITCH_S + 56(a1)
  ld s8, SWITCH_S + 64(a1)
  ld s9, SWITCH_S + 72(a1)
  ld s10, SWITCH_S + 80(a1)
  ld s11, SWITCH_S + 88(a1)
  mv tp, a2
  ret

  // Where a new thread comes from its first switch. Kernel thread: s1 = entry, s2 = argument.
  .globl kernel_thread_start
kernel_thread_start:
  call finish_switch
  mv a0, s2
  jalr s1
  call exit_kernel_thread

  // User thread: sp = its trap frame, s1 = what it does first in the kernel, or 0.
  .globl user_thread_start
user_thread_start:
  call finish_switch
  beqz s1, 1f
  jalr s1
1:
  j return_to_user
