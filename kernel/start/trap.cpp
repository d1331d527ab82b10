// Traps from user mode, after trap.S has saved the registers. System calls go straight to handle_system_call.

#include "kernel/mm/pager.hpp"
#include "kernel/proc/trap_hooks.hpp"
#include "kernel/riscv/csr.hpp"
#include "kernel/sched/interrupts.hpp"
#include "kernel/sched/scheduler.hpp"

extern "C" {
void handle_user_trap(faultline::TrapFrame& frame, std::uint64_t cause, std::uint64_t value);
void prepare_return_to_user(faultline::TrapFrame& frame);
}

using namespace faultline;

namespace {

Access access_of(csr::Cause cause) {
  if (cause == csr::Cause::InstructionPageFault) return Access::Execute;
  return cause == csr::Cause::StorePageFault ? Access::Write : Access::Read;
}

}  // namespace

void handle_user_trap(TrapFrame& frame, std::uint64_t cause, std::uint64_t value) {
  if ((cause & csr::kInterruptBit) != 0) {
    interrupts::poll();
    scheduler::reschedule_if_needed();
    return;
  }
  switch (static_cast<csr::Cause>(cause)) {
    case csr::Cause::InstructionPageFault:
    case csr::Cause::LoadPageFault:
    case csr::Cause::StorePageFault:
      // Addresses beyond the user half are never mapped for user mode, and are no Va.
      if (value < kUserEnd) {
        handle_user_page_fault({Va::checked(value), access_of(static_cast<csr::Cause>(cause))});
        return;
      }
      break;
    case csr::Cause::IllegalInstruction:
      if (fp::use_first_time()) return;
      break;
    default:
      break;
  }
  handle_user_exception(frame, cause, value);
}

/// Something is asked of the hart or the thread; trap.S tries again afterwards.
void prepare_return_to_user(TrapFrame& frame) {
  Hart::current().state.fetch_and(~hart_state::kUserMode);
  interrupts::poll();
  scheduler::reschedule_if_needed();
  // The hart may be another one now; trap.S reads it anew.
  if (Thread::current().user_work.load()) return_to_user_work(frame);
}
