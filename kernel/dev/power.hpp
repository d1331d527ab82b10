#pragma once
// The end of the machine's run.

#include <cstdint>

namespace faultline {

/// Ends the run at once with an exit status for whoever started the emulator: 0 powers off by SBI SRST;
/// others through the board's test device (sifive,test0) where the device tree has one, for SRST cannot carry
/// a status. File systems are unmounted by the caller.
[[noreturn]] void power_off(std::uint16_t status);

/// Restarts the machine (SBI SRST cold reboot); powers off with failure when the firmware cannot.
[[noreturn]] void reboot();

}  // namespace faultline
