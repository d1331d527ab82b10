// Faults and exceptions of user programs.

#include "kernel/proc/trap_hooks.hpp"

#include "kernel/fs/memory_relief.hpp"
#include "kernel/mm/pager.hpp"
#include "kernel/proc/out_of_memory.hpp"
#include "kernel/proc/process.hpp"
#include "kernel/proc/signal.hpp"
#include "kernel/riscv/csr.hpp"
#include "kernel/sched/scheduler.hpp"

namespace faultline {

namespace {

using csr::Cause;

// No frame for a fault. The instruction faults again when the thread is back in user mode, after others had
// the chance to leave; unless this process is the one that has to.
void wait_for_memory() {
  if (relieve_memory()) return;
  kill_largest_process();
  scheduler::yield();
}

}  // namespace

void handle_user_page_fault(const PageFaultReason& reason) {
  const Result<> handled = Process::current().mm().handle_page_fault(reason);
  if (handled) [[likely]]
    return;
  const std::uint64_t address = reason.address.value();
  switch (handled.error()) {
    case KernelError::OutOfMemory:
      wait_for_memory();
      break;
    case KernelError::BeyondEndOfFile:
    case KernelError::InputOutput:
    case KernelError::Corrupt:
      signals::force_on_current(Signal::BusError, signal_code::kNoAddress, address);
      break;
    case KernelError::AccessDenied:
      signals::force_on_current(Signal::Segmentation, signal_code::kAccessError, address);
      break;
    default:
      signals::force_on_current(Signal::Segmentation, signal_code::kMapError, address);
      break;
  }
}

void handle_user_exception(TrapFrame& frame, std::uint64_t cause, std::uint64_t value) {
  switch (static_cast<Cause>(cause)) {
    case Cause::IllegalInstruction:
      signals::force_on_current(Signal::IllegalInstruction, signal_code::kIllegalOpcode, frame.pc);
      break;
    case Cause::Breakpoint:
      signals::force_on_current(Signal::Trap, signal_code::kBreakpoint, frame.pc);
      break;
    case Cause::InstructionMisaligned:
    case Cause::LoadMisaligned:
    case Cause::StoreMisaligned:
      signals::force_on_current(Signal::BusError, signal_code::kAlignment, value);
      break;
    // An address outside the user half, whatever the access.
    case Cause::InstructionPageFault:
    case Cause::LoadPageFault:
    case Cause::StorePageFault:
      signals::force_on_current(Signal::Segmentation, signal_code::kMapError, value);
      break;
    default:
      signals::force_on_current(Signal::Segmentation, signal_code::kAccessError, value);
      break;
  }
}

}  // namespace faultline
