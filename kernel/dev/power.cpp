#include "kernel/dev/power.hpp"

#include "kernel/riscv/csr.hpp"
#include "kernel/riscv/device_register.hpp"
#include "kernel/riscv/machine.hpp"
#include "kernel/riscv/memory_map.hpp"
#include "kernel/riscv/sbi.hpp"

namespace faultline {

void power_off(std::uint16_t status) {
  // QEMU's SRST always exits with 0. A store of (status << 16) | 0x3333 to the test device ends it with the
  // status, but since QEMU 8 only when its main loop comes to it: the harts run on meanwhile, and whichever
  // status is asked for last is the one it ends with. So SRST must not follow.
  if (status != 0 && machine.test_finisher) {
    constexpr std::uint32_t kFail = 0x3333;
    write_register(reinterpret_cast<volatile std::uint32_t*>(mmio(Pa::checked(machine.test_finisher->start))),
                   static_cast<std::uint32_t>(status) << 16 | kFail);
    for (;;) csr::wait_for_interrupt();
  }
  sbi::reset(sbi::ResetType::Shutdown, status == 0 ? sbi::ResetReason::None : sbi::ResetReason::Failure);
  for (;;) csr::wait_for_interrupt();
}

void reboot() {
  sbi::reset(sbi::ResetType::ColdReboot, sbi::ResetReason::None);
  power_off(1);
}

}  // namespace faultline
