#include "kernel/mm/tlb.hpp"

#include "kernel/mm/memory_system.hpp"
#include "kernel/mm/statistics.hpp"

namespace faultline {

Asid Space::asid() const noexcept { return MemorySystem::current().asids().bare(asid_.load()); }

Activation Space::activate(HartId hart) noexcept {
  active_.fetch_or(HartSet::of(hart).bits());                                                        // a
  const AsidAllocator::Assignment assignment = MemorySystem::current().asids().assign(asid_, hart);  // b
  const std::uint64_t generation = generation_.load();                                               // c
  std::uint64_t& seen = seen_[hart];
  Activation::Flush flush = Activation::Flush::Nothing;
  if (assignment.flush_everything) {
    flush = Activation::Flush::Everything;
  } else if (seen != generation) {
    flush = Activation::Flush::Space;
  }
  if (flush != Activation::Flush::Nothing) count(Counter::ActivationFlush);
  seen = generation;
  return {root_, assignment.asid, flush};
}

void Space::deactivate(HartId hart) noexcept { active_.fetch_and(~HartSet::of(hart).bits()); }

void Space::refresh_local(Va page) const noexcept {
  if (!active_harts().contains(platform::current_hart())) return;
  platform::fence_local({asid(), VaRange(page, page + kPageSize)});
  count(Counter::LocalFence);
}

bool TlbBatch::by_address() const noexcept {
  if (whole_space_) return false;
  std::uint64_t bytes = 0;
  for (std::uint32_t i = 0; i < run_count_; ++i) bytes += runs_[i].end - runs_[i].start;
  return bytes <= kPagesByAddress * kPageSize;
}

void TlbBatch::fence() noexcept {
  // The entries are written (1).
  const std::uint64_t generation = space_.generation_.fetch_add(1);  // 2
  const HartSet active = space_.active_harts();                      // 3
  count(Counter::TlbBatch);
  if (active.empty()) return;

  const HartId self = platform::current_hart();
  const Asid asid = space_.asid();
  const bool pages = by_address();
  if (active.contains(self)) {
    fence_this_hart(asid, pages);
    // This hart is now up to date, unless another batch came in between; then it flushes once more at a
    // switch, in vain.
    std::uint64_t& seen = space_.seen_[self];
    if (seen == generation) seen = generation + 1;
  }
  const HartSet others = active.without(self);
  if (others.empty()) return;
  // One interruption, not one for each run: it costs more than what a wide fence makes the others reload.
  FenceScope scope{asid, std::nullopt};
  if (pages && run_count_ == 1) scope.range = VaRange(Va::checked(runs_[0].start), Va::checked(runs_[0].end));
  platform::fence_remote(others, scope);
  count(Counter::RemoteFence);
  count(Counter::RemoteFenceTarget, others.count());
}

void TlbBatch::fence_this_hart(Asid asid, bool by_address) noexcept {
  count(Counter::LocalFence);
  if (!by_address) {
    platform::fence_local({asid, std::nullopt});
    return;
  }
  for (std::uint32_t i = 0; i < run_count_; ++i) {
    platform::fence_local({asid, VaRange(Va::checked(runs_[i].start), Va::checked(runs_[i].end))});
  }
}

void TlbBatch::release_frames() noexcept {
  const std::uint32_t frames = std::exchange(frame_count_, 0);
  for (std::uint32_t i = 0; i < frames; ++i) {
    const Frame last_use = Frame::adopt(Pa::checked(frames_[i]));
  }
}

}  // namespace faultline
