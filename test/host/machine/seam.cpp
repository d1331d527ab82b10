// The seam of the memory core, served by the simulated machine.

#include <thread>

#include "kernel/lib/heap.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/mm/platform.hpp"
#include "test/host/machine/machine.hpp"

namespace faultline {

using sim::Machine;

void* heap_allocate(std::size_t bytes, std::size_t alignment) noexcept {
  return Machine::current().allocate_object(bytes, alignment);
}

void heap_release(void* memory, std::size_t bytes, std::size_t alignment) noexcept {
  Machine::current().release_object(memory, bytes, alignment);
}

#ifdef FAULTLINE_CHECK_LOCK_RANKS
HeldRanks* held_ranks() noexcept {
  static thread_local HeldRanks ranks;
  return &ranks;
}
#endif

void cpu_relax() noexcept { std::this_thread::yield(); }

namespace platform {

std::optional<Pa> allocate_frame(FrameContents contents) noexcept {
  return Machine::current().allocate(0, contents);
}

void release_frame(Pa frame) noexcept { Machine::current().release(frame, 0); }

std::optional<Pa> allocate_block(unsigned order, FrameContents contents) noexcept {
  return Machine::current().allocate(order, contents);
}

void release_block(Pa block, unsigned order) noexcept { Machine::current().release(block, order); }

std::byte* frame_bytes(Pa frame) noexcept { return Machine::current().frames().bytes(frame); }

FrameInfo& frame_info(Pa frame) noexcept { return Machine::current().frames().info(frame); }

void fence_local(const FenceScope& scope) noexcept { Machine::current().fence_local(scope); }

void fence_remote(HartSet targets, const FenceScope& scope) noexcept {
  Machine::current().fence_remote(targets, scope);
}

void synchronize_instructions() noexcept { Machine::current().synchronize_instructions(); }

void wait_while_equal(const std::atomic<std::uint32_t>& word, std::uint32_t expected) noexcept {
  may_sleep();
  Machine::current().wait_while_equal(word, expected);
}

void wake_waiters(const std::atomic<std::uint32_t>& word) noexcept { Machine::current().wake_waiters(word); }

}  // namespace platform
}  // namespace faultline
