#pragma once
// The end of the road: a broken invariant. Bad input never comes here; it gets a KernelError.

#include <source_location>

namespace faultline {

/// Reports a broken invariant and never returns. The kernel prints registers and a backtrace and powers off
/// with a failing status; the host build reports to the test that caused it and throws or aborts. Seam:
/// defined once by the kernel (riscv) and once by the simulated machine.
[[noreturn]] void panic(const char* message, std::source_location where = std::source_location::current());

}  // namespace faultline

/// Checks an invariant in every build. Cheap conditions only: it stays on in production.
#define ASSERT(condition)                                  \
  do {                                                     \
    if (!(condition)) [[unlikely]]                         \
      ::faultline::panic("assertion failed: " #condition); \
  } while (false)
