#include "kernel/riscv/kernel_stack.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>

#include "kernel/lib/spin_lock.hpp"
#include "kernel/mm/frame.hpp"
#include "kernel/mm/pte.hpp"
#include "kernel/riscv/csr.hpp"
#include "kernel/riscv/hart.hpp"
#include "kernel/riscv/memory_map.hpp"
#include "kernel/riscv/shootdown.hpp"

namespace faultline {

namespace {

// A slot of the region: as many unmapped bytes, then the stack.
constexpr std::size_t kSlotSize = 2 * kKernelStackSize;
constexpr std::size_t kPages = kKernelStackSize / kPageSize;
constexpr std::size_t kSlotsPerTable = kMegapageSize / kSlotSize;
constexpr std::size_t kMaxSlots = 4096;

/// Stands at the lowest address of a stack in the cache.
struct CachedStack {
  CachedStack* next;
  std::uint64_t generation;
};

SpinLock lock{LockRank::FrameAllocator};
std::array<std::uint64_t, kMaxSlots / 64> free_slots{};  // bit set: never mapped, or no more; under lock
std::array<std::uint64_t, kMaxSlots / kSlotsPerTable>
    tables{};  // physical addresses of the last-level tables
std::size_t slot_count = 0;
CachedStack* cache = nullptr;  // under lock
std::atomic<std::size_t> cached_stacks = 0;
std::atomic<std::uint64_t> newest_generation = 0;

std::uint64_t slot_top(std::size_t slot) { return kStackRegion + (slot + 1) * kSlotSize; }
std::size_t slot_of(std::uint64_t top) { return (top - kStackRegion) / kSlotSize - 1; }

/// The entries of a slot's stack pages, lowest first.
std::uint64_t* entries_of(std::size_t slot) {
  std::uint64_t* const words =
      reinterpret_cast<std::uint64_t*>(mmio(Pa::checked(tables[slot / kSlotsPerTable])));
  return words + (slot % kSlotsPerTable) * (kSlotSize / kPageSize) + kPages;
}

CachedStack* take_cached() {
  SpinGuard guard(lock);
  CachedStack* const stack = cache;
  if (stack == nullptr) return nullptr;
  kernel_stacks::make_visible(stack->generation);
  cache = stack->next;
  cached_stacks.fetch_sub(1, std::memory_order_relaxed);
  return stack;
}

std::size_t take_slot() {
  SpinGuard guard(lock);
  for (std::size_t i = 0; i < free_slots.size(); ++i) {
    if (free_slots[i] == 0) continue;
    const auto bit = static_cast<std::size_t>(std::countr_zero(free_slots[i]));
    free_slots[i] &= free_slots[i] - 1;
    return i * 64 + bit;
  }
  return kMaxSlots;
}

void return_slot(std::size_t slot) {
  SpinGuard guard(lock);
  free_slots[slot / 64] |= std::uint64_t{1} << slot % 64;
}

}  // namespace

Result<KernelStack> KernelStack::allocate() {
  KernelStack stack;
  if (CachedStack* const cached = take_cached()) {
    stack.generation_ = cached->generation;
    stack.top_ = reinterpret_cast<std::uintptr_t>(cached) + kKernelStackSize;
    return stack;
  }
  const std::size_t slot = take_slot();
  if (slot == kMaxSlots) return failure(KernelError::OutOfMemory);
  std::array<Frame, kPages> frames;
  for (Frame& frame : frames) {
    auto allocated = Frame::allocate(FrameContents::Any);
    if (!allocated) {
      return_slot(slot);
      return failure(allocated.error());
    }
    frame = std::move(*allocated);
  }
  std::uint64_t* const entries = entries_of(slot);
  for (std::size_t i = 0; i < kPages; ++i) {
    PteSlot(entries + i).store(Pte::kernel(frames[i].leak(), Permission::read_write()));
  }
  stack.top_ = slot_top(slot);
  stack.generation_ = newest_generation.fetch_add(1) + 1;
  kernel_stacks::make_visible(stack.generation_);
  return stack;
}

KernelStack::~KernelStack() {
  if (top_ == 0 || borrowed_) return;
  auto* const stack = reinterpret_cast<CachedStack*>(top_ - kKernelStackSize);
  SpinGuard guard(lock);
  kernel_stacks::make_visible(generation_);
  *stack = {cache, generation_};
  cache = stack;
  cached_stacks.fetch_add(1, std::memory_order_relaxed);
}

namespace kernel_stacks {

Result<> create_tables(EarlyMemory& early, Pa root, std::uint64_t memory_size) {
  // One thread for each 64 KiB of memory: a process needs about that much for itself.
  slot_count = std::clamp<std::uint64_t>(memory_size >> 16, 256, kMaxSlots) / kSlotsPerTable * kSlotsPerTable;
  const auto middle = early.allocate_table();
  if (!middle) return failure(KernelError::OutOfMemory);
  PteSlot(early.words(root) + ((kStackRegion >> kGigapageShift) & 0x1ff)).store(Pte::table(*middle));
  for (std::size_t i = 0; i < slot_count / kSlotsPerTable; ++i) {
    const auto table = early.allocate_table();
    if (!table) return failure(KernelError::OutOfMemory);
    tables[i] = table->value();
    PteSlot(early.words(*middle) + i).store(Pte::table(*table));
  }
  for (std::size_t slot = 0; slot < slot_count; ++slot) return_slot(slot);
  return {};
}

std::size_t capacity() { return slot_count; }

bool in_region(std::uint64_t address) { return address - kStackRegion < slot_count * kSlotSize; }

void make_visible(std::uint64_t generation) {
  Hart& hart = Hart::current();
  if (hart.stack_generation >= generation) return;
  // Read before the fence: mappings that come later are not claimed.
  const std::uint64_t newest = newest_generation.load(std::memory_order_acquire);
  csr::fence_translations();
  hart.stack_generation = newest;
}

std::size_t cached_frames() { return cached_stacks.load(std::memory_order_relaxed) * kPages; }

bool release_cached() {
  CachedStack* stack;
  {
    SpinGuard guard(lock);
    stack = std::exchange(cache, nullptr);
    cached_stacks.store(0, std::memory_order_relaxed);
  }
  if (stack == nullptr) return false;
  // The frames wait in a list through their own first words, in the direct map, until no hart can reach them
  // as stacks.
  std::uint64_t frame_list = 0;
  const auto words = [](std::uint64_t frame) {
    return reinterpret_cast<std::uint64_t*>(mmio(Pa::checked(frame)));
  };
  while (stack != nullptr) {
    make_visible(stack->generation);
    const std::size_t slot = slot_of(reinterpret_cast<std::uintptr_t>(stack) + kKernelStackSize);
    stack = stack->next;
    for (std::size_t i = 0; i < kPages; ++i) {
      const PteSlot entry(entries_of(slot) + i);
      const std::uint64_t frame = entry.load().pa().value();
      entry.store(Pte());
      words(frame)[0] = std::exchange(frame_list, frame);
      words(frame)[1] = slot;
    }
  }
  shootdown::fence_everything();
  while (frame_list != 0) {
    const Frame frame = Frame::adopt(Pa::checked(frame_list));
    return_slot(words(frame_list)[1]);
    frame_list = words(frame_list)[0];
  }
  return true;
}

}  // namespace kernel_stacks
}  // namespace faultline
