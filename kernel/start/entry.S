// Where harts enter the kernel. The firmware starts one hart at `_start`, any of them, with a0 = its number and a1 =
// the device tree's physical address; that one starts the others at `secondary_entry`. Translation is off, so
// everything up to the jump to high addresses is position independent: `lla` gives physical addresses here.
//
// The jump: nothing is mapped at the physical addresses, so the first fetch after satp is written faults, and stvec leads
// to the same code at its high address. No identity mapping is needed, not even for a moment.

#include "kernel/riscv/layout.h"

  .section .text.entry, "ax"
  .globl _start
_start:
  csrw sie, zero

  // Only one hart boots. OpenSBI 1.1 may let a hart that boot.cpp starts go before it has noted where to, and then it comes
  // here: back into the stopped state, from which boot.cpp starts it again.
  lla t0, boot_claimed
  li t1, 1
  amoswap.w.aqrl t1, t1, (t0)
  beqz t1, 2f
  li a7, 0x48534d                // SBI hart state management
  li a6, 1                       // hart_stop
  ecall
1:
  wfi
  j 1b
2:
  mv s0, a0
  mv s1, a1
  mv tp, zero                    // no thread yet; the firmware leaves something else

  lla t0, bss_start
  lla t1, bss_end
1:
  sd zero, 0(t0)
  addi t0, t0, 8
  bltu t0, t1, 1b

  // A provisional root table: physical memory from 0 to 64 GiB read-write in the direct map, and the first 16 MiB from
  // the image on. It lives until the kernel has built its own (memory_map.cpp), before anything else runs.
  lla s2, boot_root
  li t0, 0xc7                    // V R W A D
  li t1, 64
  li t2, 1 << 28                 // one gigabyte in a PTE's page-number field
  li t4, 8 * 256
  add t3, s2, t4
1:
  sd t0, 0(t3)
  add t0, t0, t2
  addi t3, t3, 8
  addi t1, t1, -1
  bnez t1, 1b

  lla t3, boot_image_table
  srli t0, t3, 2
  ori t0, t0, 1
  li t4, 8 * 510
  add t4, s2, t4
  sd t0, 0(t4)
  lla s3, _start                 // the image's physical start, a multiple of 2 MiB
  srli t0, s3, 2
  ori t0, t0, 0xcf               // V R W X A D
  li t1, 8
  li t2, 1 << 19                 // two megabytes
1:
  sd t0, 8(t3)                   // the image starts 2 MiB into its gigabyte
  add t0, t0, t2
  addi t3, t3, 8
  addi t1, t1, -1
  bnez t1, 1b

  srli t0, s2, 12
  li t1, 8 << 60
  or t0, t0, t1
  lla t1, boot_high_address
  ld t1, 0(t1)
  csrw stvec, t1
  sfence.vma
  csrw satp, t0
  nop

  .balign 4
boot_high:
  lla sp, boot_stack_top
  mv a0, s0
  mv a1, s1
  mv a2, s3
  li s0, 0
  call boot_main

  // a0 = hart number, a1 = physical address of its SecondaryStart (boot.cpp)
  .globl secondary_entry
secondary_entry:
  csrw sie, zero
  ld t0, SECONDARY_SATP(a1)
  ld sp, SECONDARY_STACK(a1)
  ld tp, SECONDARY_THREAD(a1)
  lla t1, secondary_high_address
  ld t1, 0(t1)
  csrw stvec, t1
  sfence.vma
  csrw satp, t0
  nop

  .balign 4
secondary_high:
  li s0, 0
  call secondary_main

  .balign 8
boot_high_address:
  .dword boot_high
secondary_high_address:
  .dword secondary_high

  .data                          // not .bss, which is cleared when the hart that boots has claimed it already
  .balign 4
boot_claimed:
  .word 0

  .bss
  .balign 4096
  .globl boot_root
boot_root:
  .skip 4096
boot_image_table:
  .skip 4096
  .globl boot_stack_guard        // left unmapped
boot_stack_guard:
  .skip 4096
  .skip BOOT_STACK_SIZE
  .globl boot_stack_top
boot_stack_top:
