#pragma once
// What the trap code calls when user mode enters the kernel and before it returns there.
//
// All of them run on the thread's kernel stack with interrupts off, may sleep, and find the user's registers
// in the thread's trap frame, which is the one they are given.

#include <cstdint>

namespace faultline {

struct TrapFrame;
struct PageFaultReason;

/// An ecall from user mode: runs the system call named by a7 and leaves its result in a0 and sepc past the
/// ecall.
extern "C" void handle_system_call(TrapFrame& frame);  // called by trap.S

/// A page fault in user mode: the pager resolves it, or the thread gets SIGSEGV or SIGBUS, or memory is out
/// and a process is killed.
void handle_user_page_fault(const PageFaultReason& reason);

/// Any other synchronous exception in user mode; `cause` is scause's code, `value` is stval. Becomes SIGILL,
/// SIGTRAP, SIGBUS or, for access faults, SIGSEGV.
void handle_user_exception(TrapFrame& frame, std::uint64_t cause, std::uint64_t value);

/// Called before a return to user mode when the thread's user_work flag is set: delivers signals, stops,
/// exits. Clears the flag when nothing is left; does not return when the thread has to exit.
void return_to_user_work(TrapFrame& frame);

}  // namespace faultline
