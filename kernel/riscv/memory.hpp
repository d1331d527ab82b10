#pragma once
// Physical memory at start-up, and the allocators over it.

#include <cstddef>
#include <cstdint>
#include <optional>

#include "kernel/mm/slab.hpp"
#include "kernel/riscv/machine.hpp"

namespace faultline::memory {

/// The memory that the kernel manages: one stretch of the board's, without what is reserved in it.
struct Layout {
  PaRange managed;                  // what has FrameInfo
  BoundedList<PaRange, 64> mapped;  // usable or in use by kernel and device tree, page aligned, ascending
  BoundedList<PaRange, 64> free;    // usable, page aligned, ascending
};

/// Finds the layout. `image` and `device_tree` are kept out of `free`. False when nothing is left.
[[nodiscard]] bool find_layout(const Machine& machine, PaRange image, PaRange device_tree, Layout& layout);

/// Builds the kernel's own tables from the start of the largest free range, switches to them, and hands what
/// is left to the frame allocator. Panics when memory is too small for that.
void initialize(const Machine& machine, PaRange image, PaRange device_tree);

/// For /proc/meminfo and sysinfo. Free frames include those kept ready by idle harts and in released kernel
/// stacks.
std::size_t total_frames();
std::size_t free_frames();

/// For /proc/slabinfo: what a size class of the kernel's small objects holds; nothing past the last class.
/// Objects that harts keep for their next allocation are not counted.
std::optional<SlabAllocator::ClassUse> slab_class(std::size_t size_class);

/// For /proc/kpagecount: how many references to a frame there are, 0 outside the managed memory; nothing past
/// its end.
std::optional<std::uint64_t> frame_owners(std::uint64_t frame_number);

/// For idle harts: prepares one zeroed frame; false when there is nothing to do.
bool prepare_zeroed_frame();

}  // namespace faultline::memory
