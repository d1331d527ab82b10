#include "kernel/riscv/memory.hpp"

#include <algorithm>

#include "kernel/lib/heap.hpp"
#include "kernel/lib/static_object.hpp"
#include "kernel/mm/buddy.hpp"
#include "kernel/riscv/kernel_stack.hpp"
#include "kernel/riscv/memory_map.hpp"

namespace faultline {

namespace {

StaticObject<BuddyAllocator> buddy;
StaticObject<FrameAllocator> frames;
StaticObject<SlabAllocator> slabs;

}  // namespace

namespace memory {

void initialize(const Machine& machine, PaRange image, PaRange device_tree) {
  static Layout layout;
  if (!find_layout(machine, image, device_tree, layout)) panic("no usable memory");
  const PaRange largest =
      *std::max_element(layout.free.begin(), layout.free.end(),
                        [](const PaRange& a, const PaRange& b) { return a.size() < b.size(); });
  EarlyMemory early(largest.start, largest.end);
  if (const auto root = build_kernel_map(early, machine, layout, image); !root) {
    panic(describe(root.error()).data());
  }
  const std::size_t count = layout.managed.size() >> kPageShift;
  const auto info = early.allocate(count * sizeof(FrameInfo));
  if (!info) panic("memory is too small for its own bookkeeping");
  const auto first_info = reinterpret_cast<std::uintptr_t>(mmio(*info));
  platform::frame_info_origin = first_info - (layout.managed.start >> kPageShift) * sizeof(FrameInfo);
  buddy.construct(Pa::checked(layout.managed.start), count, reinterpret_cast<FrameInfo*>(first_info));
  frames.construct(*buddy, kernel_stacks::release_cached);
  slabs.construct([](const void* object) { return physical_address(object).page(); });
  for (const PaRange& range : layout.free) {
    const std::uint64_t start = range.start == largest.start ? early.next() : range.start;
    if (start < range.end) buddy->add_free_range(Pa::checked(start), Pa::checked(range.end));
  }
}

std::size_t total_frames() { return frames->total_frames(); }
std::size_t free_frames() {
  // Objects that harts keep for their next allocation hold frames; what is free must not depend on which.
  slabs->trim();
  return frames->free_frames() + kernel_stacks::cached_frames();
}
std::optional<SlabAllocator::ClassUse> slab_class(std::size_t size_class) {
  if (size_class == 0) slabs->trim();
  return slabs->class_use(size_class);
}
std::optional<std::uint64_t> frame_owners(std::uint64_t frame_number) {
  if (frame_number >= buddy->end().page_number()) return std::nullopt;
  const Pa frame = Pa::from_page_number(frame_number);
  return buddy->contains(frame) ? buddy->info(frame).references.load(std::memory_order_relaxed) : 0;
}
bool prepare_zeroed_frame() { return frames->prepare_zeroed_frame(); }

}  // namespace memory

namespace platform {

constinit std::uint64_t frame_info_origin = 0;

std::optional<Pa> allocate_frame(FrameContents contents) noexcept { return frames->allocate(contents); }

void release_frame(Pa frame) noexcept { frames->release(frame); }

std::optional<Pa> allocate_block(unsigned order, FrameContents contents) noexcept {
  auto block = frames->allocate_block(order, contents);
  if (!block && kernel_stacks::release_cached()) block = frames->allocate_block(order, contents);
  return block;
}

void release_block(Pa block, unsigned order) noexcept { frames->release_block(block, order); }

}  // namespace platform

void* heap_allocate(std::size_t bytes, std::size_t alignment) noexcept {
  return slabs->allocate(bytes, alignment);
}

void heap_release(void* memory, std::size_t bytes, std::size_t alignment) noexcept {
  slabs->release(memory, bytes, alignment);
}

}  // namespace faultline
