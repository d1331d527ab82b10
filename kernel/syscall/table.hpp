#pragma once
// The table of system calls, indexed by number.

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernel/lib/result.hpp"
#include "kernel/proc/user_thread.hpp"
#include "kernel/riscv/trap_frame.hpp"

namespace faultline {

inline Result<std::uint64_t> no_system_call(const TrapFrame&) { return failure(KernelError::NotImplemented); }

struct SystemCall {
  /// Takes the arguments from a0 … a5.
  Result<std::uint64_t> (*function)(const TrapFrame&) = no_system_call;
  /// What becomes of the call when a signal interrupts it.
  Restart restart = Restart::Never;
  /// False for calls that are over sooner than the clock could be read twice.
  bool timed = true;
};

inline constexpr std::size_t kSystemCallCount = 440;

extern const std::array<SystemCall, kSystemCallCount> system_call_table;

}  // namespace faultline
