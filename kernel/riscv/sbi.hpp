#pragma once
// Calls to the firmware (RISC-V Supervisor Binary Interface specification 1.0).

#include <cstdint>

namespace faultline::sbi {

/// Errors are the specification's negative numbers; 0 is success.
struct Reply {
  std::int64_t error;
  std::int64_t value;
  bool succeeded() const { return error == 0; }
};

/// Harts by mhartid: bit i of `mask` is hart `base + i`.
struct HartMask {
  std::uint64_t mask;
  std::uint64_t base;
};

enum class Extension : std::uint64_t {
  Time = 0x54494d45,
  Ipi = 0x735049,
  RemoteFence = 0x52464e43,
  HartState = 0x48534d,
  SystemReset = 0x53525354,
};

void set_timer(std::uint64_t deadline);
Reply send_ipi(HartMask harts);

/// Starts a stopped hart at a physical address, with a0 = its number and a1 = `argument`, translation off.
Reply start_hart(std::uint64_t hart, std::uint64_t physical_entry, std::uint64_t argument);

/// True when the hart is neither running nor about to.
bool hart_is_stopped(std::uint64_t hart);

/// sfence.vma for [start, start + size) under `asid` on the harts; size 0 and start 0 mean everything of the
/// ASID.
Reply remote_fence(HartMask harts, std::uint64_t start, std::uint64_t size, std::uint64_t asid);
/// sfence.vma for everything, global mappings too.
Reply remote_fence_all(HartMask harts);

enum class ResetType : std::uint32_t { Shutdown = 0, ColdReboot = 1 };
enum class ResetReason : std::uint32_t { None = 0, Failure = 1 };
/// Returns only when the firmware cannot.
void reset(ResetType type, ResetReason reason);

/// A character through the legacy console, for machines whose UART the kernel does not know.
void legacy_console_put(char character);

}  // namespace faultline::sbi
