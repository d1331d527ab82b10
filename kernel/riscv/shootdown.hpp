#pragma once
// Interrupting other harts, and making them drop translations: platform::fence_local and fence_remote.

#include "kernel/mm/platform.hpp"
#include "kernel/riscv/hart.hpp"
#include "kernel/riscv/machine.hpp"

namespace faultline::shootdown {

/// Finds the software-interrupt registers of each hart, where the board has them.
void initialize(const Machine& machine);

/// True when harts interrupt each other by a store rather than by a firmware call.
bool has_registers();

/// Raises a software interrupt on `hart`.
void interrupt_hart(const Hart& hart);

/// Takes back the software interrupt of the current hart, before it looks at its state.
void acknowledge();

/// Does what other harts ask in Hart::state, except rescheduling. May be called with locks held.
void serve_requests();

/// Drops all translations, global ones too, on every hart. For changes of the kernel's own map.
void fence_everything();

}  // namespace faultline::shootdown
