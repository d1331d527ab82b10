#include "kernel/sched/interrupts.hpp"

#include "kernel/dev/plic.hpp"
#include "kernel/riscv/csr.hpp"
#include "kernel/riscv/hart.hpp"
#include "kernel/riscv/shootdown.hpp"
#include "kernel/riscv/timer.hpp"
#include "kernel/sched/scheduler.hpp"

namespace faultline::interrupts {

void enable_on_this_hart() {
  csr::write_sie(csr::kSoftwareInterrupt | csr::kTimerInterrupt | csr::kExternalInterrupt);
}

void poll() {
  const std::uint64_t pending = csr::read_sip();
  // The interrupt is taken back before the state is read: who asks later raises it again.
  if ((pending & csr::kSoftwareInterrupt) != 0) shootdown::acknowledge();
  Hart& hart = Hart::current();
  const std::uint64_t state = hart.state.load();
  if ((state & hart_state::kRequests) != 0) {
    shootdown::serve_requests();
    if ((hart.state.fetch_and(~hart_state::kReschedule) & hart_state::kReschedule) != 0) {
      scheduler::handle_reschedule_request();
    }
  }
  if ((pending & csr::kTimerInterrupt) != 0) {
    timer::acknowledge();
    scheduler::handle_timer();
  }
  if ((pending & csr::kExternalInterrupt) != 0) plic::handle_interrupts();
}

}  // namespace faultline::interrupts
