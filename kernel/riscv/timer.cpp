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

/// Tries stimecmp with a trap vector that skips over the attempt: firmware that does not know Sstc leaves
/// menvcfg.STCE clear, and the register is illegal then whatever the device tree says.
bool stimecmp_works() {
  std::uint64_t works = 1;
  std::uint64_t vector;
  asm volatile(
      "  lla %[vector], 1f\n"
      "  csrrw %[vector], stvec, %[vector]\n"
      "  csrw 0x14d, %[never]\n"
      "  j 2f\n"
      "  .balign 4\n"
      "1: li %[works], 0\n"
      "2: csrw stvec, %[vector]\n"
      : [works] "+&r"(works), [vector] "=&r"(vector)
      : [never] "r"(~std::uint64_t{0})
      : "memory");
  return works != 0;
}

}  // namespace

void initialize_hart(bool sstc) {
  HartTimer& timer = timers[platform::current_hart()];
  timer.sstc = sstc && stimecmp_works();
  write(timer, next_idle_tick());
}

void program(Ticks deadline) {
  HartTimer& timer = timers[platform::current_hart()];
  if (deadline < timer.programmed) write(timer, deadline);
}

void acknowledge() {
  HartTimer& timer = timers[platform::current_hart()];
  if (timer.programmed.count() <= csr::read_time()) write(timer, next_idle_tick());
}

}  // namespace faultline::timer
