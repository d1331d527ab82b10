#pragma once
// Kernel stacks: 16 KiB each in a region of their own, with unmapped pages below, so that an overflow faults.
//
// The region's page tables are made at start-up for as many stacks as the memory's size allows, so a stack
// costs its four frames and nothing else. A released stack stays mapped, for the next thread; its frames
// count as free (memory.hpp). Taking a mapping away needs a fence on every hart, since the region is global,
// and happens only when memory is short. A new mapping needs none on other harts: it carries a generation,
// and a hart that has not fenced since then does so before it runs on the stack (a hart may hold on to "not
// mapped", privileged architecture 4.2.1).

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernel/lib/result.hpp"
#include "kernel/mm/address.hpp"

namespace faultline {

inline constexpr std::size_t kKernelStackSize = 16 * 1024;

/// Owns one kernel stack, or none.
class KernelStack {
 public:
  KernelStack() = default;
  KernelStack(KernelStack&& other) noexcept
      : top_(std::exchange(other.top_, 0)), generation_(other.generation_), borrowed_(other.borrowed_) {}
  KernelStack& operator=(KernelStack&&) = delete;
  ~KernelStack();

  /// Error: OutOfMemory, also when there are as many stacks as the region holds.
  [[nodiscard]] static Result<KernelStack> allocate();

  /// A stack that is part of the kernel image and never released.
  static KernelStack from_image(std::uint64_t top) {
    KernelStack stack;
    stack.top_ = top;
    stack.borrowed_ = true;
    return stack;
  }

  /// One past the highest byte; 16-byte aligned.
  std::uint64_t top() const { return top_; }
  bool contains(std::uint64_t address) const {
    return address - (top_ - kKernelStackSize) < kKernelStackSize;
  }
  /// A hart that has not fenced since this generation may not see the mapping yet.
  std::uint64_t generation() const { return generation_; }

 private:
  std::uint64_t top_ = 0;
  std::uint64_t generation_ = 0;
  bool borrowed_ = false;
};

class EarlyMemory;

namespace kernel_stacks {
/// Makes the region's tables, once; the number of stacks follows from the memory's size. Error: OutOfMemory.
[[nodiscard]] Result<> create_tables(EarlyMemory& early, Pa root, std::uint64_t memory_size);
/// Makes the current hart see a stack of this generation.
void make_visible(std::uint64_t generation);
/// How many frames released stacks hold.
std::size_t cached_frames();
/// Returns the cached stacks' frames. May not be called with a lock of rank FrameAllocator or above. True if
/// any.
bool release_cached();
}  // namespace kernel_stacks

}  // namespace faultline
