// Batches against switches, in every order of their steps (kernel/mm/tlb.hpp: 1, 2, 3 and a, b, c).
//
// The protocol is compiled here a second time, in a namespace of its own, with atomics that let the other
// hart come in before each access; everything around it is the machine's and the core's.

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernel/mm/asid.hpp"
#include "kernel/mm/memory_system.hpp"
#include "kernel/mm/pte.hpp"
#include "kernel/mm/statistics.hpp"
#include "test/host/machine/machine.hpp"
#include "test/host/stepping.hpp"

#define std stepping
#define faultline faultline::in_steps
#include "kernel/mm/tlb.cpp"
#undef faultline
#undef std

namespace faultline::sim {
namespace {

using stepping::step;

constexpr HartId kFencing = hart_id(0), kSwitching = hart_id(1), kBystander = hart_id(2);
constexpr unsigned kAsidBits = 5;  // 31 numbers

/// A space with two pages in hand-made tables. The switching hart remembers both translations.
class Stage {
 public:
  explicit Stage(Interleavings& orders) : system_(*MemorySystem::create(std::nullopt, kAsidBits)) {
    stepping::orders = &orders;
    slot(root_, 2).store(Pte::table(level1_.pa()));
    slot(level1_, 1).store(Pte::table(level0_.pa()));
    for (const Va page : kPages) {
      Frame frame = *Frame::allocate(FrameContents::Zeroed);
      entry(page).store(Pte::user(frame.leak(), Permission::read_write(), 0, true));
    }
    run();
    touch_both();
  }
  ~Stage() {
    leave();
    for (const Va page : kPages) {
      if (const Pte left = entry(page).load(); !left.is_empty()) Frame::adopt(left.pa());
    }
  }

  /// A switch of the current hart to the space, and away from it.
  void run() {
    const in_steps::Activation activation = space.activate(platform::current_hart());
    step();
    here().write_satp(Satp{activation.asid, activation.root});
    if (activation.flush == in_steps::Activation::Flush::Space) here().fence({activation.asid, std::nullopt});
    if (activation.flush == in_steps::Activation::Flush::Everything) here().fence_everything();
    running_ = true;
  }
  void leave() {
    if (!std::exchange(running_, false)) return;
    here().write_satp(std::nullopt);
    space.deactivate(platform::current_hart());
  }

  /// Takes a page away from whoever runs the space; the frame goes, and the machine reports who still uses
  /// it.
  void remove(Va page) {
    in_steps::TlbBatch batch(space);
    step();
    const Pte old = entry(page).exchange(Pte());  // 1
    batch.absorb(in_steps::StaleEntry(space, page, Frame::adopt(old.pa())));
  }

  void touch_both() {
    for (const Va page : kPages) static_cast<void>(here().access(page, Access::Read, 1));
  }
  /// Nobody reaches a page that was taken away: at the end of every order.
  void check_removed(Va page) {
    OnHart there(kSwitching);
    CHECK_FALSE(here().access(page, Access::Read, 1).has_value());
    machine.check_coherence();
  }

  static constexpr std::array kPages = {Va::checked(kPageSize), Va::checked(9 * kPageSize)};

 private:
  static Hart& here() { return Machine::current().hart(platform::current_hart()); }
  static PteSlot slot(const Frame& table, unsigned level) {
    return PteSlot(reinterpret_cast<std::uint64_t*>(table.bytes().data()) + kPages[0].table_index(level));
  }
  PteSlot entry(Va page) const {
    return PteSlot(reinterpret_cast<std::uint64_t*>(level0_.bytes().data()) + page.table_index(0));
  }

 public:
  Machine machine{64};

 private:
  Box<MemorySystem> system_;
  OnHart switching_{kSwitching};
  Frame root_ = *Frame::allocate(FrameContents::Zeroed);
  Frame level1_ = *Frame::allocate(FrameContents::Zeroed);
  Frame level0_ = *Frame::allocate(FrameContents::Zeroed);
  bool running_ = false;

 public:
  in_steps::Space space{root_.pa()};
};

/// Every order of what `fencing` and `switching` do, each on its hart, after `prepare`; then no hart reaches
/// the first page.
template <class Prepare, class Fencing, class Switching>
std::size_t run_all_orders(Prepare prepare, Fencing fencing, Switching switching) {
  Interleavings orders;
  std::optional<Stage> stage;
  const auto on = [&](HartId hart, auto& work) {
    return [&, hart] {
      OnHart here(hart);
      work(*stage);
    };
  };
  return orders.run_all(
      [&]() -> std::vector<Interleavings::Work> {
        stage.emplace(orders);
        prepare(*stage);
        return {on(kFencing, fencing), on(kSwitching, switching)};
      },
      [&] {
        stage->check_removed(Stage::kPages[0]);
        stage.reset();
      });
}

void remove_first(Stage& stage) { stage.remove(Stage::kPages[0]); }
void nothing(Stage&) {}

}  // namespace

TEST_SUITE_BEGIN("stale translations");

TEST_CASE("a hart that switches to a space during a batch never keeps what the batch removed, in any order") {
  const std::size_t orders = run_all_orders([](Stage& stage) { stage.leave(); }, remove_first,
                                            [](Stage& stage) {
                                              stage.run();
                                              step();
                                              stage.touch_both();
                                            });
  CHECK(orders > 100);
}

TEST_CASE(
    "a hart that leaves a space during a batch and comes back never keeps what the batch removed, in any "
    "order") {
  const std::size_t orders = run_all_orders(nothing, remove_first, [](Stage& stage) {
    stage.leave();
    stage.run();
    step();
    stage.touch_both();
  });
  CHECK(orders > 400);
}

TEST_CASE(
    "a hart that fences for itself, leaves and comes back never keeps what another's batch removed, in any "
    "order") {
  const std::size_t orders = run_all_orders(nothing, remove_first, [](Stage& stage) {
    stage.remove(Stage::kPages[1]);
    stage.leave();
    stage.run();
  });
  CHECK(orders > 1000);
}

TEST_CASE(
    "a hart that takes a new number for a space during a batch is fenced under that number, in any order") {
  const auto renumber = [](Stage& stage) {
    stage.leave();
    const Asid before = stage.space.asid();
    // Other spaces, first on this hart, lest it keep the number, then until the numbers have run out and one
    // of them has this space's.
    AsidAllocator& asids = MemorySystem::current().asids();
    std::atomic<TaggedAsid> other = 0;
    static_cast<void>(asids.assign(other, kSwitching));
    OnHart there(kBystander);
    bool rolled_over = false, taken = false;
    for (unsigned tries = 0; tries < 100 && !taken; ++tries) {
      other = 0;
      const auto given = asids.assign(other, kBystander);
      rolled_over |= given.flush_everything;
      taken = rolled_over && given.asid == before;
    }
    CHECK(taken);
  };
  const std::size_t orders = run_all_orders(renumber, remove_first, [](Stage& stage) {
    stage.run();
    step();
    stage.touch_both();
  });
  CHECK(orders > 100);
}

TEST_SUITE_END();

}  // namespace faultline::sim
