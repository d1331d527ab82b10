// Kernel stacks: no stack has two owners and no frame is given back early or twice, in whatever order harts
// take stacks, leave them and take their memory away.

#include "kernel/riscv/stack_pool.hpp"

#include <doctest/doctest.h>

#include <array>
#include <memory>

#include "test/host/interleavings.hpp"
#include "test/host/machine/panic.hpp"

namespace faultline {
namespace {

/// A stack region of a few slots; every call is a step, and so is what lies between its end and the pool's
/// next.
class Region final : public StackMapper {
 public:
  static constexpr std::size_t kSlots = 3;

  explicit Region(sim::Interleavings& orders) : pool(std::make_unique<StackPool>(*this)), orders_(orders) {
    pool->add_slots(kSlots);
  }

  Result<std::uint64_t> map(std::size_t slot) override {
    orders_.step();
    if (out_of_memory) return failure(KernelError::OutOfMemory);
    CHECK_FALSE(slots_[slot].mapped);
    CHECK_FALSE(slots_[slot].has_frames);
    slots_[slot] = {.mapped = true, .remembered = false, .has_frames = true};
    orders_.step();
    return ++generation_;
  }
  void unmap(std::size_t slot) override {
    orders_.step();
    CHECK(slots_[slot].mapped);
    CHECK(owners[slot] == 0);
    slots_[slot].mapped = false;
    slots_[slot].remembered = true;
  }
  void fence_all_harts() override {
    orders_.step();
    for (Slot& slot : slots_) slot.remembered = false;
  }
  void release_frames(std::size_t slot) override {
    orders_.step();
    CHECK_FALSE(slots_[slot].mapped);
    CHECK_FALSE(slots_[slot].remembered);
    CHECK(slots_[slot].has_frames);
    slots_[slot].has_frames = false;
    orders_.step();
  }

  /// What a thread does with a stack in its life.
  void live_on_a_stack() {
    const auto stack = pool->allocate();
    if (!stack) {
      ++refused;
      return;
    }
    CHECK(owners[stack->slot]++ == 0);
    CHECK(slots_[stack->slot].mapped);
    orders_.step();
    CHECK(slots_[stack->slot].mapped);
    --owners[stack->slot];
    pool->release(stack->slot);
  }

  /// Nobody has a stack: each slot can be had once, and nothing but the cache has frames.
  void check_at_rest() {
    std::size_t with_frames = 0;
    for (const Slot& slot : slots_) {
      CHECK(slot.mapped == slot.has_frames);
      with_frames += slot.has_frames ? 1 : 0;
    }
    CHECK(with_frames == pool->cached());
  }

  bool out_of_memory = false;
  std::array<int, kSlots> owners{};
  int refused = 0;
  std::unique_ptr<StackPool> pool;

 private:
  struct Slot {
    bool mapped = false;
    bool remembered = false;  // unmapped, but harts may not know yet
    bool has_frames = false;
  };
  sim::Interleavings& orders_;
  std::array<Slot, kSlots> slots_{};
  std::uint64_t generation_ = 0;
};

using Action = void (*)(Region&);
constexpr Action kLive = [](Region& region) { region.live_on_a_stack(); };
constexpr Action kLiveTwice = [](Region& region) {
  region.live_on_a_stack();
  region.live_on_a_stack();
};
constexpr Action kReclaim = [](Region& region) { (void)region.pool->release_cached(); };

/// Runs the actions on a hart each, in every order, over a region with that many stacks in the cache.
std::size_t run_all(std::size_t cached, std::initializer_list<Action> actions, bool out_of_memory = false) {
  sim::Interleavings orders;
  std::unique_ptr<Region> region;
  return orders.run_all(
      [&] {
        region = std::make_unique<Region>(orders);
        for (std::size_t i = 0; i < cached; ++i) REQUIRE(region->pool->allocate().has_value());
        for (std::size_t slot = 0; slot < cached; ++slot) region->pool->release(slot);
        region->out_of_memory = out_of_memory;
        std::vector<sim::Interleavings::Work> work;
        for (const Action action : actions) work.push_back([&region, action] { action(*region); });
        return work;
      },
      [&] {
        region->check_at_rest();
        if (!out_of_memory) CHECK(region->refused == 0);
        region->out_of_memory = false;
        for (std::size_t i = 0; i < Region::kSlots; ++i) REQUIRE(region->pool->allocate().has_value());
        CHECK_FALSE(region->pool->allocate().has_value());
      });
}

TEST_CASE("kernel stacks: taken while the cached ones lose their memory, in every order") {
  CHECK(run_all(2, {kReclaim, kLiveTwice}) > 500);
}

TEST_CASE(
    "kernel stacks: two harts take the cached ones' memory while a third takes a stack, in every order") {
  CHECK(run_all(1, {kReclaim, kReclaim, kLive}) > 500);
}

TEST_CASE("kernel stacks: taken by two harts at once, in every order") {
  CHECK(run_all(1, {kLiveTwice, kLive}) > 20);
}

TEST_CASE("kernel stacks: a slot without memory for its stack comes back, in every order") {
  CHECK(run_all(1, {kLive, kLive, kReclaim}, true) > 50);
}

TEST_CASE("kernel stacks: a stack that comes back twice is a broken kernel") {
  sim::Interleavings orders;
  Region region(orders);
  const std::size_t slot = region.pool->allocate()->slot;
  region.pool->release(slot);
  CHECK(sim::panic_of([&] { region.pool->release(slot); }).has_value());
}

}  // namespace
}  // namespace faultline
