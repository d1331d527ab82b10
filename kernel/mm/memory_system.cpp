#include "kernel/mm/memory_system.hpp"

namespace faultline {

namespace {
constinit std::atomic<MemorySystem*> current_system = nullptr;
}  // namespace

Result<Box<MemorySystem>> MemorySystem::create(std::optional<Pa> kernel_root, unsigned asid_bits) {
  Frame zero_page = TRY(Frame::allocate(FrameContents::Zeroed));
  return make_box<MemorySystem>(std::move(zero_page), kernel_root, asid_bits);
}

MemorySystem::MemorySystem(Frame zero_page, std::optional<Pa> kernel_root, unsigned asid_bits) noexcept
    : zero_page_(std::move(zero_page)), kernel_root_(kernel_root), asids_(asid_bits) {
  ASSERT(current_system.exchange(this) == nullptr);
}

MemorySystem::~MemorySystem() { current_system.store(nullptr); }

MemorySystem& MemorySystem::current() noexcept {
  MemorySystem* system = current_system.load(std::memory_order_acquire);
  ASSERT(system != nullptr);
  return *system;
}

}  // namespace faultline
