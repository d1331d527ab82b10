#pragma once
// The seam: all that the memory core needs from the machine it runs on.
//
// The kernel implements it with CSRs, SBI calls and the direct map (kernel/riscv); the host tests with a
// simulated machine whose TLBs forget nothing without a fence (test/host). Beside this header the core needs
// heap_allocate/heap_release (lib/heap.hpp), cpu_relax (lib/spin_lock.hpp) and panic (lib/panic.hpp).
//
// A fault asks for its hart, for a frame's bytes or for its bookkeeping a dozen times, and on most machines
// the answer is a load or two. A machine may therefore define functions of the seam inline, in a header
// <platform_inline.hpp> on its include path; all others, and all of them where there is no such header, are
// ordinary functions. The core itself is the same either way.

#include <cstddef>
#include <optional>

#include "kernel/mm/platform_types.hpp"

namespace faultline {

namespace platform {

/// The hart this code runs on. Stable until the caller sleeps.
HartId current_hart() noexcept;

/// A free 4 KiB frame with references == 1, or nothing when memory is out. `Zeroed` frames may come from a
/// pool that idle harts keep ready. Does not sleep.
[[nodiscard]] std::optional<Pa> allocate_frame(FrameContents contents) noexcept;

/// Returns a frame whose reference count has reached 0 and that no TLB of any hart maps any more.
void release_frame(Pa frame) noexcept;

/// 2^order naturally aligned contiguous frames (for 2 MiB leaves order is 9), as allocate_frame.
[[nodiscard]] std::optional<Pa> allocate_block(unsigned order, FrameContents contents) noexcept;
/// Returns a block of the order it was allocated with, as release_frame.
void release_block(Pa block, unsigned order) noexcept;

/// The bytes of a frame (kPageSize of them). Valid as long as the frame is allocated.
[[nodiscard]] std::byte* frame_bytes(Pa frame) noexcept;

/// The bookkeeping of a frame. `frame` lies in memory that allocate_frame may return.
[[nodiscard]] FrameInfo& frame_info(Pa frame) noexcept;

/// Orders all earlier page-table writes before later translations on this hart, dropping what the scope
/// names.
void fence_local(const FenceScope& scope) noexcept;

/// The same on every hart in `targets`; returns when all of them have done it. The current hart is not in
/// `targets`.
void fence_remote(HartSet targets, const FenceScope& scope) noexcept;

/// Makes instruction fetches of every hart see bytes that were written to pages now executable (fence.i
/// everywhere).
void synchronize_instructions() noexcept;

/// Sleeps until wake_waiters(word) after `word` has changed from `expected`; returns at once when it has
/// already. May return early. The caller holds no spin lock.
void wait_while_equal(const std::atomic<std::uint32_t>& word, std::uint32_t expected) noexcept;
/// Wakes everybody who sleeps in wait_while_equal on this word.
void wake_waiters(const std::atomic<std::uint32_t>& word) noexcept;

}  // namespace platform
}  // namespace faultline

#if __has_include(<platform_inline.hpp>)
#include <platform_inline.hpp>
#endif
