#pragma once
// Platform-level interrupt controllers (RISC-V PLIC specification 1.0.0), one or more: device interrupts,
// each routed to one hart, a controller's sources spread over the harts that it reaches in the order they are
// registered.

#include "kernel/riscv/mmio_device.hpp"

namespace faultline {

struct Machine;

/// What a driver does when its device asks.
struct InterruptHandler {
  /// In interrupt context: no lock held, may not sleep, may wake sleepers.
  virtual void on_interrupt() = 0;

 protected:
  ~InterruptHandler() = default;
};

namespace plic {

/// Finds the controllers that the device tree describes.
void initialize(const Machine& machine);

/// Lets interrupts through to the current hart; every source is off for it. Each hart does it after the
/// firmware has started it, for OpenSBI raises a hart's threshold then.
void initialize_hart();

/// Routes `source` to `handler` and enables it. A source that no controller has, or that has a handler, is
/// refused with one line on the console. `handler` lives forever.
void register_handler(const InterruptSource& source, InterruptHandler& handler);

/// Serves what is pending for this hart. Called by the trap code.
void handle_interrupts();

}  // namespace plic
}  // namespace faultline
