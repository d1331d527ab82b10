// Numbers that assembly and C++ share; static_asserts in hart.cpp, sched/thread.cpp and start/boot.cpp check
// them.
#ifndef FAULTLINE_RISCV_LAYOUT_H
#define FAULTLINE_RISCV_LAYOUT_H

// ThreadControl, where the kernel's tp points
#define THREAD_HART 0
#define THREAD_USER_WORK 8

// Hart::state is the first word of a Hart
#define HART_USER_MODE 1

// The top of a user thread's kernel stack: the trap frame, the thread's address, padding
#define TRAP_FRAME_SIZE 256
#define USER_ENTRY_THREAD 256
#define USER_ENTRY_SIZE 272

// SwitchContext
#define SWITCH_RA 0
#define SWITCH_SP 8
#define SWITCH_S 16

// SecondaryStart
#define SECONDARY_SATP 0
#define SECONDARY_STACK 8
#define SECONDARY_THREAD 16

#define BOOT_STACK_SIZE 16384
#define PANIC_STACK_SIZE 8192

#endif
