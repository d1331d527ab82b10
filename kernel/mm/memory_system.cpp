#include "kernel/mm/memory_system.hpp"

namespace faultline {

constinit std::atomic<MemorySystem*> MemorySystem::the_one_ = nullptr;

Result<Box<MemorySystem>> MemorySystem::create(std::optional<Pa> kernel_root, unsigned asid_bits) {
  Frame zero_page = TRY(Frame::allocate(FrameContents::Zeroed));
  return make_box<MemorySystem>(std::move(zero_page), kernel_root, asid_bits);
}

MemorySystem::MemorySystem(Frame zero_page, std::optional<Pa> kernel_root, unsigned asid_bits) noexcept
    : zero_page_(std::move(zero_page)), kernel_root_(kernel_root), asids_(asid_bits) {
  ASSERT(the_one_.exchange(this) == nullptr);
}

MemorySystem::~MemorySystem() { the_one_.store(nullptr); }

}  // namespace faultline
