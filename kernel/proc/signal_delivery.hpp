#pragma once
// Between a system call's end and the next user instruction.

#include <cstdint>

#include "kernel/lib/result.hpp"
#include "kernel/proc/signal_frame.hpp"

namespace faultline {

struct TrapFrame;

/// rt_sigreturn: takes the registers, the mask and the alternate stack from the frame at the stack pointer. A
/// frame that cannot be read gives the thread SIGSEGV. Returns what a0 has to be.
std::uint64_t return_from_signal_handler(TrapFrame& frame);

/// sigaltstack's view of the current thread's alternate stack, while its stack pointer is `stack_pointer`.
UserStackDescription describe_alternate_stack(std::uint64_t stack_pointer);
/// Errors: NotPermitted while a handler runs on the old one, InvalidArgument, OutOfMemory when it is too
/// small.
Result<> set_alternate_stack(const UserStackDescription& description, std::uint64_t stack_pointer);

}  // namespace faultline
