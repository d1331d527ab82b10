#include "kernel/riscv/kernel_stack.hpp"

#include <algorithm>
#include <array>
#include <atomic>

#include "kernel/mm/frame.hpp"
#include "kernel/mm/pte.hpp"
#include "kernel/riscv/csr.hpp"
#include "kernel/riscv/hart.hpp"
#include "kernel/riscv/memory_map.hpp"
#include "kernel/riscv/shootdown.hpp"
#include "kernel/riscv/stack_pool.hpp"

namespace faultline {

namespace {

// A slot of the region: as many unmapped bytes, then the stack.
constexpr std::size_t kSlotSize = 2 * kKernelStackSize;
constexpr std::size_t kPages = kKernelStackSize / kPageSize;
constexpr std::size_t kSlotsPerTable = kMegapageSize / kSlotSize;

std::array<std::uint64_t, StackPool::kMaxSlots / kSlotsPerTable>
    tables{};  // physical addresses of the last-level tables
std::atomic<std::uint64_t> newest_generation = 0;

std::uint64_t slot_top(std::size_t slot) { return kStackRegion + (slot + 1) * kSlotSize; }
std::size_t slot_of(std::uint64_t top) { return (top - kStackRegion) / kSlotSize - 1; }

/// The entry of a slot's lowest stack page; those of the others follow.
PteSlot entries_of(std::size_t slot) {
  auto* const words = reinterpret_cast<std::uint64_t*>(mmio(Pa::checked(tables[slot / kSlotsPerTable])));
  return PteSlot(words + (slot % kSlotsPerTable) * (kSlotSize / kPageSize) + kPages);
}

class PageTableMapper final : public StackMapper {
 public:
  Result<std::uint64_t> map(std::size_t slot) override {
    std::array<Frame, kPages> frames;
    for (Frame& frame : frames) frame = TRY(Frame::allocate(FrameContents::Any));
    for (std::size_t i = 0; i < kPages; ++i) {
      const PteSlot entry = entries_of(slot) + static_cast<std::ptrdiff_t>(i);
      entry.store(Pte::kernel(frames[i].leak(), Permission::read_write()));
    }
    return newest_generation.fetch_add(1) + 1;
  }

  // The entry is not valid any more, but it still names the frame: that is where it waits for the fence.
  void unmap(std::size_t slot) override {
    for (std::size_t i = 0; i < kPages; ++i)
      (entries_of(slot) + static_cast<std::ptrdiff_t>(i)).fetch_and(~Pte::kValid);
  }

  void fence_all_harts() override { shootdown::fence_everything(); }

  void release_frames(std::size_t slot) override {
    for (std::size_t i = 0; i < kPages; ++i) {
      const Pte left = (entries_of(slot) + static_cast<std::ptrdiff_t>(i)).exchange(Pte());
      const Frame last_use = Frame::adopt(left.pa());
    }
  }
};

constinit PageTableMapper mapper;
constinit StackPool pool(mapper);

}  // namespace

Result<KernelStack> KernelStack::allocate() {
  const StackPool::Stack taken = TRY(pool.allocate());
  KernelStack stack;
  stack.top_ = slot_top(taken.slot);
  stack.generation_ = taken.generation;
  kernel_stacks::make_visible(taken.generation);
  return stack;
}

KernelStack::~KernelStack() {
  if (top_ == 0 || borrowed_) return;
  pool.release(slot_of(top_));
}

namespace kernel_stacks {

Result<> create_tables(EarlyMemory& early, Pa root, std::uint64_t memory_size) {
  // One thread for each 64 KiB of memory: a process needs about that much for itself.
  const std::size_t slots = std::clamp<std::uint64_t>(memory_size >> 16, 256, StackPool::kMaxSlots) /
                            kSlotsPerTable * kSlotsPerTable;
  const auto middle = early.allocate_table();
  if (!middle) return failure(KernelError::OutOfMemory);
  PteSlot(early.words(root) + ((kStackRegion >> kGigapageShift) & 0x1ff)).store(Pte::table(*middle));
  for (std::size_t i = 0; i < slots / kSlotsPerTable; ++i) {
    const auto table = early.allocate_table();
    if (!table) return failure(KernelError::OutOfMemory);
    tables[i] = table->value();
    PteSlot(early.words(*middle) + i).store(Pte::table(*table));
  }
  pool.add_slots(slots);
  return {};
}

void make_visible(std::uint64_t generation) {
  Hart& hart = Hart::current();
  if (hart.stack_generation >= generation) return;
  // Read before the fence: mappings that come later are not claimed.
  const std::uint64_t newest = newest_generation.load(std::memory_order_acquire);
  csr::fence_translations();
  hart.stack_generation = newest;
}

std::size_t cached_frames() { return pool.cached() * kPages; }

bool release_cached() { return pool.release_cached(); }

}  // namespace kernel_stacks
}  // namespace faultline
