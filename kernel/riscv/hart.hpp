#pragma once
// What belongs to one hart (hardware thread).

#include <array>
#include <atomic>
#include <cstdint>

#include "kernel/mm/platform_types.hpp"

namespace faultline {

class Space;
class Thread;

/// Bits of Hart::state. The word says what the hart does and what others ask of it, in one word so that "I go
/// to user mode" and "is anything asked of me" are one atomic operation, and so are "I ask" and "does it need
/// an interrupt".
namespace hart_state {
inline constexpr std::uint64_t kUserMode = 1;    // runs a user program (or is about to, after its last look)
inline constexpr std::uint64_t kIdle = 2;        // waits for an interrupt
inline constexpr std::uint64_t kReschedule = 4;  // look at the run queue
inline constexpr std::uint64_t kStop = 8;        // another hart has panicked
inline constexpr std::uint64_t kFence = 16;      // a fence request stands in a slot (riscv/shootdown.cpp)
inline constexpr std::uint64_t kInstructions = 32;  // fence.i before the next user instruction
inline constexpr std::uint64_t kRequests = kReschedule | kStop | kFence | kInstructions;
}  // namespace hart_state

/// Written by its own hart except where noted. Its first word is used by trap.S.
struct alignas(64) Hart {
  /// See hart_state. Any hart sets request bits; the hart itself clears them and owns the mode bits.
  std::atomic<std::uint64_t> state = 0;
  HartId id{};
  std::uint64_t hardware_id = 0;           // mhartid
  std::uint32_t interrupt_controller = 0;  // phandle of its local controller in the device tree
  Thread* idle = nullptr;                  // runs when nothing else can
  Thread* fp_owner = nullptr;              // whose floating-point registers the hart holds, or null
  Space* space = nullptr;  // what satp translates for: active in that Space; null: the kernel's own table
  std::uint64_t stack_generation =
      0;  // of kernel stack mappings that this hart surely sees (riscv/kernel_stack.cpp)
  std::atomic<bool> online = false;

  /// tp points to the current thread's ThreadControl, whose first word is the hart.
  static Hart& current() { return **static_cast<Hart**>(__builtin_thread_pointer()); }
};

/// By HartId; the first hart_count() are in use.
extern std::array<Hart, kMaxHarts> harts;
unsigned hart_count();
/// For start-up, before the other harts run.
void set_hart_count(unsigned count);
/// The harts that have started.
HartSet online_harts();

/// Makes `hart` look at its state soon: sets `request`, and interrupts it if it runs user code or waits.
void request(Hart& hart, std::uint64_t request);

}  // namespace faultline
