#include "kernel/mm/asid.hpp"

#include "kernel/mm/statistics.hpp"

namespace faultline {

AsidAllocator::AsidAllocator(unsigned bits)
    // Every hart keeps its number over a rollover, and one more must be free for whoever caused it.
    : enabled_(bits <= kMaxBits && (std::uint32_t{1} << bits) > 2 * kMaxHarts),
      count_(enabled_ ? std::uint32_t{1} << bits : 1) {}

AsidAllocator::Assignment AsidAllocator::assign(std::atomic<TaggedAsid>& tagged, HartId hart) {
  if (!enabled_) return {Asid{0}, true};
  HartState& state = harts_[hart];
  TaggedAsid mine = tagged.load();
  TaggedAsid running = state.running.load();
  if (running != 0 && (mine & ~kNumberMask) == generation_.load() &&
      state.running.compare_exchange_strong(running, mine)) {
    return {bare(mine), false};
  }

  const SpinGuard guard(lock_);
  mine = tagged.load();
  if ((mine & ~kNumberMask) != generation_.load()) {
    mine = renew(mine, guard);
    tagged.store(mine);
  }
  state.running.store(mine);
  return {bare(mine), std::exchange(state.flush_pending, false)};
}

TaggedAsid AsidAllocator::renew(TaggedAsid old, const SpinGuard& proof) {
  const std::uint64_t number = old & kNumberMask;
  if (old != 0) {
    // A number that a hart ran at the rollover is its space's again.
    const TaggedAsid renewed = generation_.load() | number;
    if (keep_reserved(old, renewed, proof)) return renewed;
    // Any other number may stay with its space if nobody was faster: all harts flush before they use it.
    if (take_number(number)) return renewed;
  }
  for (std::uint32_t tries = 0; tries < 2; ++tries) {
    for (; next_ < count_; ++next_) {
      if (take_number(next_)) return generation_.load() | next_;
    }
    roll_over(proof);
  }
  panic("a new generation has no free address-space identifier");
}

bool AsidAllocator::take_number(std::uint64_t number) {
  std::uint64_t& word = used_[number / 64];
  const std::uint64_t bit = std::uint64_t{1} << (number % 64);
  if ((word & bit) != 0) return false;
  word |= bit;
  return true;
}

bool AsidAllocator::keep_reserved(TaggedAsid old, TaggedAsid renewed, const SpinGuard&) {
  bool found = false;
  // Several harts may have run the space; after another rollover each must find the renewed tag.
  harts_.for_each([&](HartState& state) {
    if (state.reserved == old) {
      state.reserved = renewed;
      found = true;
    }
  });
  return found;
}

void AsidAllocator::roll_over(const SpinGuard&) {
  generation_.store(generation_.load() + kGenerationStep);
  used_.fill(0);
  next_ = 1;
  harts_.for_each([&](HartState& state) {
    // 0 means that the hart has activated nothing since the last rollover: it still runs what it ran then.
    const TaggedAsid running = state.running.exchange(0);
    if (running != 0) state.reserved = running;
    if (state.reserved != 0) take_number(state.reserved & kNumberMask);
    state.flush_pending = true;
  });
  count(Counter::AsidRollover);
}

}  // namespace faultline
