#pragma once
// What lies on the user's stack while a signal handler runs: Linux's struct rt_sigframe on RISC-V
// (arch/riscv uapi: siginfo, ucontext, sigcontext), which C libraries and unwinders know.

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernel/proc/pending_signals.hpp"
#include "kernel/riscv/trap_frame.hpp"

namespace faultline {

/// stack_t.
struct UserStackDescription {
  static constexpr std::int32_t kOnStack = 1, kDisabled = 2;
  static constexpr std::uint32_t kAutoDisarm = std::uint32_t{1} << 31;

  std::uint64_t base = 0;
  std::int32_t flags = 0;
  std::uint32_t padding = 0;
  std::uint64_t size = 0;
};
static_assert(sizeof(UserStackDescription) == 24);

struct SignalContext {
  TrapFrame registers;  // pc, x1 … x31
  std::array<std::uint64_t, 32> f;
  std::uint32_t fcsr;
  // The state of the 128-bit extension would go on here; its last words mark further extensions and are zero.
  std::array<std::uint8_t, 268> reserved;
};

struct UserContext {
  std::uint64_t flags;
  std::uint64_t link;
  UserStackDescription stack;
  SignalSet mask;
  std::array<std::uint8_t, 128> unused;  // room for a mask of 1024 signals, and padding
  SignalContext machine;
};

struct SignalFrame {
  SignalInfo info;
  UserContext context;
};
static_assert(offsetof(UserContext, mask) == 40 && offsetof(UserContext, machine) == 176);
static_assert(sizeof(SignalContext) == 784 && sizeof(SignalFrame) == 1088);

}  // namespace faultline
