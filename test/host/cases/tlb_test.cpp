// Stale entries, batches, fences and address-space identifiers: design 2.2.

#include "kernel/mm/tlb.hpp"

#include <doctest/doctest.h>

#include <set>

#include "kernel/mm/statistics.hpp"
#include "test/host/machine/panic.hpp"
#include "test/host/world.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

/// A space without a page table behind it: only its fences matter.
struct BareSpace {
  explicit BareSpace(World& world) : world(world) {}
  ~BareSpace() { world.leave_everywhere(space); }
  World& world;
  Frame root = *Frame::allocate(FrameContents::Zeroed);
  Space space{root.pa()};
};

Va page(std::uint64_t number) { return Va::checked(number * kPageSize); }

StaleEntry stale(Space& space, std::uint64_t number, Frame frame = Frame()) {
  return StaleEntry(space, page(number), std::move(frame));
}

/// True when some fence by address or of the space covers the page.
bool covers(const FenceRecord& fence, Va va) { return !fence.scope.range || fence.scope.range->contains(va); }

}  // namespace

TEST_SUITE_BEGIN("stale translations");

TEST_CASE("dropping a stale entry that was not handed over panics") {
  World world;
  BareSpace bare(world);
  const auto message = panic_of([&] { StaleEntry dropped = stale(bare.space, 1); });
  CHECK(message.value_or("").find("stale") != std::string::npos);
}

TEST_CASE("moving a stale entry moves the debt") {
  World world;
  BareSpace bare(world);
  CHECK_FALSE(panic_of([&] {
                StaleEntry first = stale(bare.space, 1);
                StaleEntry second = std::move(first);
                TlbBatch batch(bare.space);
                batch.absorb(std::move(second));
              }).has_value());
}

TEST_CASE("a batch keeps the frame until the fence is done, then releases it") {
  World world;
  BareSpace bare(world);
  Frame frame = *Frame::allocate(FrameContents::Any);
  const std::size_t before = world.frames_used();
  {
    TlbBatch batch(bare.space);
    batch.absorb(stale(bare.space, 1, std::move(frame)));
    CHECK(world.frames_used() == before);
  }
  CHECK(world.frames_used() == before - 1);
}

TEST_CASE("a batch takes only entries of its own space") {
  World world;
  BareSpace one(world), other(world);
  CHECK(panic_of([&] {
          TlbBatch batch(one.space);
          batch.absorb(stale(other.space, 1));
        }).has_value());
}

TEST_CASE("a batch fences once, by address for few pages") {
  World world;
  BareSpace bare(world);
  world.run(hart_id(0), bare.space);
  world.machine.record_fences(true);
  {
    TlbBatch batch(bare.space);
    batch.absorb(stale(bare.space, 5));
    batch.absorb(stale(bare.space, 6));
    batch.absorb(stale(bare.space, 9));
    CHECK(world.machine.take_fences().empty());
  }
  const auto fences = world.machine.take_fences();
  REQUIRE(fences.size() == 2);  // one for each run of pages
  for (const FenceRecord& fence : fences) {
    CHECK(fence.remote.empty());
    CHECK(fence.scope.asid == bare.space.asid());
    REQUIRE(fence.scope.range.has_value());
  }
  CHECK(fences[0].scope.range == VaRange(page(5), page(7)));
  CHECK(fences[1].scope.range == VaRange(page(9), page(10)));
}

TEST_CASE("a batch of many pages, of many runs, or of a non-leaf change fences the whole space once") {
  World world;
  BareSpace bare(world);
  world.run(hart_id(0), bare.space);
  world.machine.record_fences(true);
  SUBCASE("many pages") {
    TlbBatch batch(bare.space);
    for (std::uint64_t i = 1; i <= 40; ++i) batch.absorb(stale(bare.space, i));
  }
  SUBCASE("many runs") {
    TlbBatch batch(bare.space);
    for (std::uint64_t i = 1; i <= 12; ++i) batch.absorb(stale(bare.space, 3 * i));
  }
  SUBCASE("a non-leaf change") {
    TlbBatch batch(bare.space);
    batch.absorb(StaleEntry(bare.space, page(512), Frame(), StaleEntry::Level::Table));
  }
  const auto fences = world.machine.take_fences();
  REQUIRE(fences.size() == 1);
  CHECK_FALSE(fences[0].scope.range.has_value());
  CHECK(fences[0].scope.asid == bare.space.asid());
}

TEST_CASE("an empty batch fences nothing") {
  World world;
  BareSpace bare(world);
  world.run(hart_id(0), bare.space);
  world.machine.record_fences(true);
  {
    TlbBatch batch(bare.space);
  }
  CHECK(world.machine.take_fences().empty());
}

TEST_CASE("a batch that holds all the frames it can fences midway and goes on, without an allocation") {
  World world;
  BareSpace bare(world);
  world.run(hart_id(0), bare.space);
  const std::size_t before = world.frames_used();
  constexpr std::uint64_t kPages = 1000;
  std::vector<Frame> frames;
  for (std::uint64_t i = 0; i < kPages; ++i) frames.push_back(*Frame::allocate(FrameContents::Any));
  world.machine.record_fences(true);
  const std::uint64_t allocations = world.machine.allocations();
  {
    TlbBatch batch(bare.space);
    for (std::uint64_t i = 0; i < kPages; ++i)
      batch.absorb(stale(bare.space, 1 + 2 * i, std::move(frames[i])));
    CHECK(world.frames_used() < before + kPages);
  }
  CHECK(world.machine.allocations() == allocations);
  CHECK(world.frames_used() == before);
  const auto fences = world.machine.take_fences();
  for (std::uint64_t i = 0; i < kPages; ++i) {
    CHECK(std::ranges::any_of(fences,
                              [&](const FenceRecord& fence) { return covers(fence, page(1 + 2 * i)); }));
  }
}

TEST_CASE("fences go to exactly the harts that run the space") {
  World world;
  BareSpace bare(world), other(world);
  world.run(hart_id(0), bare.space);
  world.run(hart_id(2), bare.space);
  world.run(hart_id(5), bare.space);
  world.run(hart_id(3), other.space);
  world.machine.record_fences(true);
  {
    TlbBatch batch(bare.space);
    batch.absorb(stale(bare.space, 1));
  }
  HartSet remote;
  bool local = false;
  for (const FenceRecord& fence : world.machine.take_fences()) {
    CHECK(covers(fence, page(1)));
    CHECK(fence.scope.asid == bare.space.asid());
    remote = HartSet::from_bits(remote.bits() | fence.remote.bits());
    local |= fence.remote.empty();
  }
  CHECK(remote.bits() == HartSet::of(hart_id(2)).with(hart_id(5)).bits());
  CHECK(local);
}

TEST_CASE("a hart that does not run the space fences the others, and not itself") {
  World world;
  BareSpace bare(world);
  world.run(hart_id(1), bare.space);
  world.machine.record_fences(true);
  {
    TlbBatch batch(bare.space);
    batch.absorb(stale(bare.space, 1));
  }
  const auto fences = world.machine.take_fences();
  REQUIRE(fences.size() == 1);
  CHECK(fences[0].remote.bits() == HartSet::of(hart_id(1)).bits());
}

TEST_CASE("a space that ran on one hart only never fences another one") {
  World world;
  BareSpace bare(world);
  const auto targets = counter_total(Counter::RemoteFenceTarget);
  world.run(hart_id(0), bare.space);
  world.machine.record_fences(true);
  for (std::uint64_t round = 1; round < 100; ++round) {
    TlbBatch batch(bare.space);
    for (std::uint64_t i = 0; i < round; ++i) batch.absorb(stale(bare.space, round + i));
  }
  for (const FenceRecord& fence : world.machine.take_fences()) CHECK(fence.remote.empty());
  CHECK(counter_total(Counter::RemoteFenceTarget) == targets);
}

TEST_CASE("a hart that left the space is not interrupted, and flushes when it comes back") {
  World world;
  BareSpace bare(world);
  world.run(hart_id(1), bare.space);
  world.leave(hart_id(1));
  world.run(hart_id(0), bare.space);
  world.machine.record_fences(true);
  {
    TlbBatch batch(bare.space);
    batch.absorb(stale(bare.space, 1));
  }
  for (const FenceRecord& fence : world.machine.take_fences()) CHECK(fence.remote.empty());
  OnHart here(hart_id(1));
  CHECK(bare.space.activate(hart_id(1)).flush == Activation::Flush::Space);
  bare.space.deactivate(hart_id(1));
  CHECK(bare.space.activate(hart_id(1)).flush == Activation::Flush::Nothing);  // nothing has changed since
  bare.space.deactivate(hart_id(1));
}

TEST_CASE("a hart that fenced while it ran the space need not flush when it comes back") {
  World world;
  BareSpace bare(world);
  world.run(hart_id(0), bare.space);
  {
    TlbBatch batch(bare.space);
    batch.absorb(stale(bare.space, 1));
  }
  world.leave(hart_id(0));
  CHECK(bare.space.activate(hart_id(0)).flush == Activation::Flush::Nothing);
  bare.space.deactivate(hart_id(0));
}

TEST_CASE("a space that dies while a hart runs it panics") {
  World world;
  CHECK(panic_of([&] {
          BareSpace bare(world);
          (void)bare.space.activate(hart_id(0));
        }).has_value());
}

TEST_CASE("a context switch between spaces flushes nothing") {
  World world;
  BareSpace one(world), other(world);
  world.run(hart_id(0), one.space);
  world.run(hart_id(0), other.space);
  CHECK(one.space.asid() != other.space.asid());
  world.leave(hart_id(0));
  for (Space* space : {&one.space, &other.space}) {
    CHECK(space->activate(hart_id(0)).flush == Activation::Flush::Nothing);
    space->deactivate(hart_id(0));
  }
}

TEST_CASE("ASID 0 belongs to the kernel, and no two living spaces share a number") {
  World world;
  std::vector<std::unique_ptr<BareSpace>> spaces;
  std::set<Asid> given;
  for (int i = 0; i < 100; ++i) {
    spaces.push_back(std::make_unique<BareSpace>(world));
    world.run(hart_id(0), spaces.back()->space);
    CHECK(spaces.back()->space.asid() != Asid{0});
    CHECK(given.insert(spaces.back()->space.asid()).second);
  }
}

TEST_CASE("when the numbers run out, those in use stay and every hart flushes before it goes on") {
  World world(Machine::kDefaultFrames, 5);  // 31 numbers
  BareSpace keeper(world);
  world.run(hart_id(7), keeper.space);
  const Asid kept = keeper.space.asid();
  std::set<Asid> in_generation;
  bool rolled_over = false;
  for (int i = 0; i < 200; ++i) {
    BareSpace bare(world);
    OnHart here(hart_id(1));
    const Activation activation = bare.space.activate(hart_id(1));
    CHECK(activation.asid != kept);
    CHECK(activation.asid != Asid{0});
    if (!in_generation.insert(activation.asid).second) {
      rolled_over = true;
      CHECK(activation.flush == Activation::Flush::Everything);
      in_generation = {activation.asid};
    }
    bare.space.deactivate(hart_id(1));
  }
  CHECK(rolled_over);
  CHECK(keeper.space.asid() == kept);
  world.leave(hart_id(7));
  // The number is still the keeper's, but hart 7 has entries of before the rollover.
  OnHart here(hart_id(7));
  const Activation again = keeper.space.activate(hart_id(7));
  CHECK(again.flush == Activation::Flush::Everything);
  keeper.space.deactivate(hart_id(7));
}

TEST_CASE("a number stays with the space that two harts run, over two rollovers and for both of them") {
  World world(Machine::kDefaultFrames, 5);  // 31 numbers
  BareSpace keeper(world), bystander(world);
  world.run(hart_id(6), keeper.space);
  world.run(hart_id(7), keeper.space);
  world.run(hart_id(5), bystander.space);  // another hart's number, which must not be taken for the keeper's
  const Asid kept = keeper.space.asid();
  const auto roll_over = [&] {
    for (bool rolled_over = false; !rolled_over;) {
      BareSpace bare(world);
      OnHart here(hart_id(1));
      const Activation activation = bare.space.activate(hart_id(1));
      CHECK(activation.asid != kept);
      rolled_over = activation.flush == Activation::Flush::Everything;
      bare.space.deactivate(hart_id(1));
    }
  };
  const auto give_all_numbers = [&] {
    for (int i = 0; i < 40; ++i) {
      BareSpace bare(world);
      OnHart here(hart_id(1));
      CHECK(bare.space.activate(hart_id(1)).asid != kept);
      bare.space.deactivate(hart_id(1));
    }
  };
  const auto activate_again = [&](HartId hart) {
    world.leave(hart);
    OnHart here(hart);
    const Activation activation = keeper.space.activate(hart);
    CHECK(activation.asid == kept);
    CHECK(activation.flush == Activation::Flush::Everything);
    keeper.space.deactivate(hart);
    world.run(hart, keeper.space);
  };
  SUBCASE("neither hart switches in between") {
    roll_over();
    roll_over();
    give_all_numbers();
    activate_again(hart_id(6));
    activate_again(hart_id(7));
  }
  SUBCASE(
      "one hart takes the renewed number after the first, the other still has the old one at the second") {
    roll_over();
    activate_again(hart_id(6));
    world.leave(hart_id(6));
    roll_over();
    roll_over();
    give_all_numbers();
    activate_again(hart_id(7));
    activate_again(hart_id(6));
  }
  CHECK(keeper.space.asid() == kept);
  CHECK(bystander.space.asid() != kept);
}

TEST_CASE("without ASIDs every activation flushes") {
  for (unsigned bits : {0u, 2u}) {
    World world(Machine::kDefaultFrames, bits);
    BareSpace one(world), other(world);
    for (Space* space : {&one.space, &other.space, &one.space}) {
      const Activation activation = space->activate(hart_id(0));
      CHECK(activation.asid == Asid{0});
      CHECK(activation.flush != Activation::Flush::Nothing);
      space->deactivate(hart_id(0));
    }
  }
}

TEST_CASE("several harts take and renew ASIDs at once: none is in use by two spaces") {
  World world(Machine::kDefaultFrames, 5);
  constexpr unsigned kHarts = 4;
  std::array<std::atomic<std::uint32_t>, 32> owners{};
  std::vector<std::function<void()>> work;
  for (unsigned h = 0; h < kHarts; ++h) {
    work.push_back([&] {
      for (int i = 0; i < 300; ++i) {
        BareSpace bare(world);
        const HartId me = platform::current_hart();
        const Activation activation = bare.space.activate(me);
        auto& owner = owners[static_cast<std::size_t>(activation.asid)];
        CHECK_MESSAGE(owner.fetch_add(1) == 0, "two harts run different spaces under one ASID");
        owner.fetch_sub(1);
        bare.space.deactivate(me);
      }
    });
  }
  world.machine.run_in_parallel(work);
}

TEST_SUITE_END();
