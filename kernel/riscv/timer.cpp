#include "kernel/riscv/timer.hpp"

#include "kernel/mm/hart_local.hpp"
#include "kernel/riscv/csr.hpp"
#include "kernel/riscv/sbi.hpp"

namespace faultline::timer {

namespace {

struct HartTimer {
  Ticks programmed = Ticks::forever();
  bool sstc = false;
};
HartLocal<HartTimer> timers;

/// Where the timer stands when nobody waits for it. Not "never": while a machine is idle under `-icount
/// sleep=off` QEMU lets its time jump to the next timer, and a jump to the end of time would be the last one.
Ticks next_idle_tick() {
  constexpr std::uint64_t kIdleTicks = 1 << 26;
  return Ticks(csr::read_time() + kIdleTicks);
}

void write(HartTimer& timer, Ticks deadline) {
  timer.programmed = deadline;
  if (timer.sstc) {
    csr::write_stimecmp(deadline.count());
  } else {
    sbi::set_timer(deadline.count());
  }
}

}  // namespace

void initialize_hart(bool sstc) {
  HartTimer& timer = timers[platform::current_hart()];
  timer.sstc = sstc && csr::stimecmp_works();
  write(timer, next_idle_tick());
}

void program(Ticks deadline) {
  HartTimer& timer = timers[platform::current_hart()];
  if (deadline < timer.programmed) write(timer, deadline);
}

void acknowledge() {
  HartTimer& timer = timers[platform::current_hart()];
  // Written in any case: an interrupt that came before its time (Sstc lets it; QEMU raises one for a deadline
  // that is being replaced) would else stay, and its hart do nothing but take it.
  const bool over = timer.programmed.count() <= csr::read_time();
  write(timer, over ? next_idle_tick() : timer.programmed);
}

}  // namespace faultline::timer
