// The one way into the kernel and back.
//
// Supervisor code never runs with interrupts enabled: the kernel looks at sip where it is ready for interrupts (idle, and
// preemption points). So whatever traps is either user code or a bug, and the two are told apart by sscratch: in
// user mode it holds the address of the thread's trap frame, in the kernel it is 0.
//
// sstatus is not saved. A trap from user mode and the sret back leave it as it was, but for FS, which sched/fp.cpp keeps
// right at switches; nothing in between changes it.
//
// The .cfi directives tell a debugger, at each instruction, where the interrupted registers are, so that its backtrace
// goes on from the kernel into the program. They only fill .debug_frame. Column 64, which no register has, is the place to
// return to (RISC-V ELF psABI, "DWARF Register Numbers"); CSRs are numbered from 4096.

#include "kernel/riscv/layout.h"

#define FRAME(n) (8 * (n))
#define DWARF_PC 64
#define DWARF_SSCRATCH (4096 + 0x140)
#define DWARF_SEPC (4096 + 0x141)

  .cfi_sections .debug_frame

  // x1 and x3 to x31 stand in the trap frame, whose address is the canonical frame address.
  .macro cfi_frame_holds_registers
  .irp n, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
  .cfi_offset \n, FRAME(\n)
  .endr
  .endm

  .text
  .balign 4
  .globl trap_entry
trap_entry:
  .cfi_startproc simple
  .cfi_signal_frame
  .cfi_return_column DWARF_PC
  .cfi_def_cfa sp, 0
  .cfi_same_value sp
  .cfi_register DWARF_PC, DWARF_SEPC
  csrrw sp, sscratch, sp
  .cfi_register sp, DWARF_SSCRATCH
  beqz sp, trap_from_kernel
  sd x1, FRAME(1)(sp)
  sd x3, FRAME(3)(sp)
  sd x4, FRAME(4)(sp)
  sd x5, FRAME(5)(sp)
  sd x6, FRAME(6)(sp)
  sd x7, FRAME(7)(sp)
  sd x8, FRAME(8)(sp)
  sd x9, FRAME(9)(sp)
  sd x10, FRAME(10)(sp)
  sd x11, FRAME(11)(sp)
  sd x12, FRAME(12)(sp)
  sd x13, FRAME(13)(sp)
  sd x14, FRAME(14)(sp)
  sd x15, FRAME(15)(sp)
  sd x16, FRAME(16)(sp)
  sd x17, FRAME(17)(sp)
  sd x18, FRAME(18)(sp)
  sd x19, FRAME(19)(sp)
  sd x20, FRAME(20)(sp)
  sd x21, FRAME(21)(sp)
  sd x22, FRAME(22)(sp)
  sd x23, FRAME(23)(sp)
  sd x24, FRAME(24)(sp)
  sd x25, FRAME(25)(sp)
  sd x26, FRAME(26)(sp)
  sd x27, FRAME(27)(sp)
  sd x28, FRAME(28)(sp)
  sd x29, FRAME(29)(sp)
  sd x30, FRAME(30)(sp)
  sd x31, FRAME(31)(sp)
  cfi_frame_holds_registers
  csrrw t0, sscratch, zero
  .cfi_register sp, t0
  csrr t1, sepc
  csrr a1, scause
  sd t0, FRAME(2)(sp)
  .cfi_offset sp, FRAME(2)
  ld tp, USER_ENTRY_THREAD(sp)
  // Not in user mode any more. Release: the program's accesses come before another hart can see that (shootdown.cpp).
  ld t2, THREAD_HART(tp)
  li t3, ~HART_USER_MODE
  amoand.d.rl zero, t3, (t2)
  mv a0, sp
  li s0, 0                       // end of the chain of frames, for backtraces
  li t4, 8                       // environment call from user mode
  bne a1, t4, 1f
  addi t1, t1, 4
  sd t1, FRAME(0)(sp)
  .cfi_offset DWARF_PC, FRAME(0)
  call handle_system_call
  j return_to_user
1:
  .cfi_register DWARF_PC, DWARF_SEPC
  sd t1, FRAME(0)(sp)
  .cfi_offset DWARF_PC, FRAME(0)
  csrr a2, stval
  call handle_user_trap

  // sp = the trap frame, tp = the thread
  .globl return_to_user
return_to_user:
  // "I go to user mode" and "is anything asked of me" in one step; then the thread's own flag, which others set before
  // they look whether the hart is in user mode.
  ld t0, THREAD_HART(tp)
  li t1, HART_USER_MODE
  amoor.d.aqrl t2, t1, (t0)
  lbu t3, THREAD_USER_WORK(tp)
  or t2, t2, t3
  bnez t2, 2f
  ld t0, FRAME(0)(sp)
  csrw sscratch, sp
  csrw sepc, t0
  ld x1, FRAME(1)(sp)
  ld x3, FRAME(3)(sp)
  ld x4, FRAME(4)(sp)
  ld x5, FRAME(5)(sp)
  ld x6, FRAME(6)(sp)
  ld x7, FRAME(7)(sp)
  ld x8, FRAME(8)(sp)
  ld x9, FRAME(9)(sp)
  ld x10, FRAME(10)(sp)
  ld x11, FRAME(11)(sp)
  ld x12, FRAME(12)(sp)
  ld x13, FRAME(13)(sp)
  ld x14, FRAME(14)(sp)
  ld x15, FRAME(15)(sp)
  ld x16, FRAME(16)(sp)
  ld x17, FRAME(17)(sp)
  ld x18, FRAME(18)(sp)
  ld x19, FRAME(19)(sp)
  ld x20, FRAME(20)(sp)
  ld x21, FRAME(21)(sp)
  ld x22, FRAME(22)(sp)
  ld x23, FRAME(23)(sp)
  ld x24, FRAME(24)(sp)
  ld x25, FRAME(25)(sp)
  ld x26, FRAME(26)(sp)
  ld x27, FRAME(27)(sp)
  ld x28, FRAME(28)(sp)
  ld x29, FRAME(29)(sp)
  ld x30, FRAME(30)(sp)
  ld x31, FRAME(31)(sp)
  ld x2, FRAME(2)(sp)
  .cfi_def_cfa_register DWARF_SSCRATCH
  sret
  .cfi_def_cfa_register sp
2:
  mv a0, sp
  call prepare_return_to_user
  j return_to_user
  .cfi_endproc

  // A bug in the kernel, or panic()'s ebreak. The stack may be the reason, so the report runs on one of its own. The first
  // hart to come takes it; sp is the only register that is free.
trap_from_kernel:
  .cfi_startproc simple
  .cfi_signal_frame
  .cfi_return_column DWARF_PC
  lla sp, panic_entered
  amoswap.w.aq sp, sp, (sp)
  bnez sp, 3f
  lla sp, panic_registers
  sd x1, FRAME(1)(sp)
  csrrw x1, sscratch, zero
  sd x1, FRAME(2)(sp)
  sd x3, FRAME(3)(sp)
  sd x4, FRAME(4)(sp)
  sd x5, FRAME(5)(sp)
  sd x6, FRAME(6)(sp)
  sd x7, FRAME(7)(sp)
  sd x8, FRAME(8)(sp)
  sd x9, FRAME(9)(sp)
  sd x10, FRAME(10)(sp)
  sd x11, FRAME(11)(sp)
  sd x12, FRAME(12)(sp)
  sd x13, FRAME(13)(sp)
  sd x14, FRAME(14)(sp)
  sd x15, FRAME(15)(sp)
  sd x16, FRAME(16)(sp)
  sd x17, FRAME(17)(sp)
  sd x18, FRAME(18)(sp)
  sd x19, FRAME(19)(sp)
  sd x20, FRAME(20)(sp)
  sd x21, FRAME(21)(sp)
  sd x22, FRAME(22)(sp)
  sd x23, FRAME(23)(sp)
  sd x24, FRAME(24)(sp)
  sd x25, FRAME(25)(sp)
  sd x26, FRAME(26)(sp)
  sd x27, FRAME(27)(sp)
  sd x28, FRAME(28)(sp)
  sd x29, FRAME(29)(sp)
  sd x30, FRAME(30)(sp)
  sd x31, FRAME(31)(sp)
  csrr t0, sepc
  sd t0, FRAME(0)(sp)
  mv a0, sp
  csrr a1, scause
  csrr a2, stval
  lla sp, panic_stack_top
  // Not before, where sp is something else.
  .cfi_def_cfa sp, -(PANIC_STACK_SIZE + TRAP_FRAME_SIZE)
  cfi_frame_holds_registers
  .cfi_offset sp, FRAME(2)
  .cfi_offset DWARF_PC, FRAME(0)
  call handle_kernel_trap
  // It does not return, but a debugger looks up the address to which it would: one more instruction of this procedure.
  j 4f
  .cfi_endproc

  // Somebody panics already: either this very hart, while it was reporting, or another one.
3:
  csrw sscratch, zero
  lla t0, panicking_thread
  ld t0, 0(t0)
  lla sp, panic_nested_stack_top
  beq t0, tp, handle_trap_while_panicking
4:
  wfi
  j 4b

  // panic() ends here: the trap records all registers. Its arguments stay in a0, a1 and a2.
  .globl panic_trap
panic_trap:
  ebreak

  .bss
  .balign 16
panic_entered:
  .skip 8
  .globl panic_registers
panic_registers:
  .skip TRAP_FRAME_SIZE
  .skip PANIC_STACK_SIZE
panic_stack_top:
  .skip 1024
panic_nested_stack_top:
