// Physical memory: the buddy allocator and the per-hart magazines in front of it.

#include "kernel/mm/buddy.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <random>
#include <set>
#include <vector>

#include "test/host/machine/panic.hpp"
#include "test/host/world.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

/// A buddy allocator over part of the machine's memory, so that frame_bytes works on what it gives out.
class Memory {
 public:
  explicit Memory(World& world, unsigned order = 12)
      : world_(world),
        block_(*world.machine.allocate(order, FrameContents::Any)),
        order_(order),
        info_(std::size_t{1} << order),
        buddy(block_, info_.size(), info_.data()) {}
  ~Memory() {
    platform::frame_info(block_).references = 0;
    world_.machine.release(block_, order_);
  }
  Pa at(std::uint64_t frame) const { return block_ + frame * kPageSize; }
  std::size_t frames() const { return info_.size(); }

 private:
  World& world_;
  Pa block_;
  unsigned order_;
  std::vector<FrameInfo> info_;

 public:
  BuddyAllocator buddy;
};

/// Every block of an order that is left.
std::vector<Pa> take_all(BuddyAllocator& buddy, unsigned order) {
  std::vector<Pa> blocks;
  while (auto block = buddy.allocate(order)) blocks.push_back(*block);
  return blocks;
}

}  // namespace

TEST_SUITE_BEGIN("buddy allocator");

TEST_CASE("memory counts as taken until it is given") {
  World world;
  Memory memory(world);
  CHECK(memory.buddy.free_frames() == 0);
  CHECK_FALSE(memory.buddy.allocate(0).has_value());
  memory.buddy.add_free_range(memory.at(0), memory.at(memory.frames()));
  CHECK(memory.buddy.free_frames() == memory.frames());
  CHECK(memory.buddy.total_frames() == memory.frames());
  memory.buddy.check();
}

TEST_CASE("blocks of every order are aligned and disjoint, and none is lost") {
  World world;
  for (unsigned order = 0; order <= kMaxOrder; ++order) {
    Memory memory(world);
    memory.buddy.add_free_range(memory.at(0), memory.at(memory.frames()));
    std::vector<Pa> blocks = take_all(memory.buddy, order);
    CHECK(blocks.size() == memory.frames() >> order);
    std::ranges::sort(blocks);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      CHECK(blocks[i].page_number() % (std::uint64_t{1} << order) == 0);
      CHECK(blocks[i] == memory.at(i << order));
    }
    CHECK(memory.buddy.free_frames() == 0);
    for (Pa block : blocks) memory.buddy.release(block, order);
    memory.buddy.check();
    CHECK(memory.buddy.free_frames() == memory.frames());
  }
}

TEST_CASE("released neighbours merge into the largest blocks again") {
  World world;
  Memory memory(world);
  memory.buddy.add_free_range(memory.at(0), memory.at(memory.frames()));
  std::vector<Pa> frames = take_all(memory.buddy, 0);
  std::ranges::shuffle(frames, std::mt19937(3));
  for (Pa frame : frames) memory.buddy.release(frame, 0);
  memory.buddy.check();
  CHECK(take_all(memory.buddy, kMaxOrder).size() == memory.frames() >> kMaxOrder);
}

TEST_CASE("a range with odd ends, and a hole in the middle, gives exactly its frames") {
  World world;
  Memory memory(world);
  memory.buddy.add_free_range(memory.at(3), memory.at(1001));
  memory.buddy.add_free_range(memory.at(1500), memory.at(1501));
  memory.buddy.check();
  CHECK(memory.buddy.free_frames() == 999);
  CHECK(memory.buddy.total_frames() == 999);
  std::set<Pa> seen;
  for (Pa frame : take_all(memory.buddy, 0)) {
    CHECK(seen.insert(frame).second);
    CHECK(((frame >= memory.at(3) && frame < memory.at(1001)) || frame == memory.at(1500)));
  }
  CHECK(seen.size() == 999);
}

TEST_CASE("releasing what is free already, whole or in part, panics") {
  World world;
  Memory memory(world);
  memory.buddy.add_free_range(memory.at(0), memory.at(memory.frames()));
  const Pa frame = *memory.buddy.allocate(0);
  memory.buddy.release(frame, 0);
  CHECK(panic_of([&] { memory.buddy.release(frame, 0); }).has_value());
}

TEST_CASE("random allocations and releases never overlap, and all comes back") {
  World world;
  Memory memory(world);
  memory.buddy.add_free_range(memory.at(5), memory.at(memory.frames() - 7));
  const std::size_t total = memory.buddy.free_frames();
  std::mt19937 random(11);
  std::vector<std::pair<Pa, unsigned>> held;
  std::set<std::uint64_t> frames;
  for (int step = 0; step < 20000; ++step) {
    if (random() % 2 == 0 || held.empty()) {
      const unsigned order = random() % 8 == 0 ? random() % (kMaxOrder + 1) : random() % 3;
      const auto block = memory.buddy.allocate(order);
      if (!block) continue;
      held.emplace_back(*block, order);
      for (std::uint64_t i = 0; i < std::uint64_t{1} << order; ++i) {
        REQUIRE(frames.insert(block->page_number() + i).second);
      }
    } else {
      std::swap(held[random() % held.size()], held.back());
      const auto [block, order] = held.back();
      held.pop_back();
      memory.buddy.release(block, order);
      for (std::uint64_t i = 0; i < std::uint64_t{1} << order; ++i) frames.erase(block.page_number() + i);
    }
    REQUIRE(memory.buddy.free_frames() + frames.size() == total);
    if (step % 1000 == 0) memory.buddy.check();
  }
  for (const auto& [block, order] : held) memory.buddy.release(block, order);
  memory.buddy.check();
  CHECK(memory.buddy.free_frames() == total);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("frame allocator");

TEST_CASE("frames come zeroed when that is asked, with one reference") {
  World world;
  Memory memory(world);
  memory.buddy.add_free_range(memory.at(0), memory.at(memory.frames()));
  FrameAllocator allocator(memory.buddy);
  for (int i = 0; i < 300; ++i) {
    const auto frame = allocator.allocate(i % 2 == 0 ? FrameContents::Zeroed : FrameContents::Any);
    REQUIRE(frame.has_value());
    CHECK(allocator.info(*frame).references == 1);
    std::byte* bytes = platform::frame_bytes(*frame);
    if (i % 2 == 0)
      CHECK(std::all_of(bytes, bytes + kPageSize, [](std::byte b) { return b == std::byte{0}; }));
    std::fill_n(bytes, kPageSize, std::byte{0xff});
    allocator.info(*frame).references = 0;
    allocator.release(*frame);
  }
}

TEST_CASE("every frame can be had, though other harts hold magazines; the count of free frames is exact") {
  World world;
  Memory memory(world, 10);
  memory.buddy.add_free_range(memory.at(0), memory.at(memory.frames()));
  FrameAllocator allocator(memory.buddy);
  std::vector<Pa> frames;
  while (auto frame = allocator.allocate(FrameContents::Any)) {
    frames.push_back(*frame);
    REQUIRE(allocator.free_frames() == memory.frames() - frames.size());
  }
  CHECK(frames.size() == memory.frames());
  CHECK(std::set<Pa>(frames.begin(), frames.end()).size() == frames.size());
  for (Pa frame : frames) {
    allocator.info(frame).references = 0;
    allocator.release(frame);
  }
  CHECK(allocator.free_frames() == memory.frames());
  allocator.drain();
  memory.buddy.check();
  CHECK(memory.buddy.free_frames() == memory.frames());
}

TEST_CASE("idle harts zero frames ahead, up to a bound, and those are not lost to plain allocations") {
  World world;
  Memory memory(world, 10);
  memory.buddy.add_free_range(memory.at(0), memory.at(memory.frames()));
  FrameAllocator allocator(memory.buddy);
  std::size_t ready = 0;
  while (allocator.prepare_zeroed_frame()) REQUIRE(++ready < memory.frames());
  CHECK(ready > 0);
  CHECK(allocator.free_frames() == memory.frames());
  const auto zeroed = allocator.allocate(FrameContents::Zeroed);
  REQUIRE(zeroed.has_value());
  std::byte* bytes = platform::frame_bytes(*zeroed);
  CHECK(std::all_of(bytes, bytes + kPageSize, [](std::byte b) { return b == std::byte{0}; }));
  std::size_t count = 1;
  while (allocator.allocate(FrameContents::Any)) ++count;
  CHECK(count == memory.frames());
}

TEST_CASE("idle harts leave the last memory to those who ask for it") {
  World world;
  Memory memory(world, 10);
  memory.buddy.add_free_range(memory.at(0), memory.at(memory.frames()));
  FrameAllocator allocator(memory.buddy);
  while (memory.buddy.free_frames() >= memory.frames() / 16) REQUIRE(memory.buddy.allocate(0).has_value());
  CHECK_FALSE(allocator.prepare_zeroed_frame());
}

TEST_CASE("what this hart keeps ready, zeroed or not, goes into a block that cannot be had otherwise") {
  World world;
  Memory memory(world, 10);
  memory.buddy.add_free_range(memory.at(0), memory.at(memory.frames()));
  FrameAllocator allocator(memory.buddy);
  for (int i = 0; i < 3; ++i) REQUIRE(allocator.prepare_zeroed_frame());
  const auto frame = allocator.allocate(FrameContents::Any);
  REQUIRE(frame.has_value());
  allocator.info(*frame).references = 0;
  allocator.release(*frame);
  const auto block = allocator.allocate_block(kMaxOrder, FrameContents::Any);
  REQUIRE(block.has_value());
  for (std::size_t i = 0; i < memory.frames(); ++i) REQUIRE(allocator.info(memory.at(i)).references == 1);
  allocator.release_block(*block, kMaxOrder);
  for (std::size_t i = 0; i < memory.frames(); ++i) REQUIRE(allocator.info(memory.at(i)).references == 0);
  memory.buddy.check();
}

namespace {
FrameAllocator* allocator_with_reserve = nullptr;
std::vector<Pa> reserve;

bool release_reserve() {
  if (reserve.empty()) return false;
  allocator_with_reserve->info(reserve.back()).references = 0;
  allocator_with_reserve->release(reserve.back());
  reserve.pop_back();
  return true;
}
}  // namespace

TEST_CASE("when memory is out, what others keep in reserve is asked for, until there is no more") {
  World world;
  Memory memory(world, 10);
  memory.buddy.add_free_range(memory.at(0), memory.at(memory.frames()));
  FrameAllocator allocator(memory.buddy, release_reserve);
  allocator_with_reserve = &allocator;
  for (int i = 0; i < 3; ++i) reserve.push_back(*allocator.allocate(FrameContents::Any));
  std::size_t count = 0;
  while (allocator.allocate(count % 2 == 0 ? FrameContents::Any : FrameContents::Zeroed)) ++count;
  CHECK(count == memory.frames());
  CHECK(reserve.empty());
}

TEST_CASE("several harts allocate and release at once: no frame is given twice") {
  World world;
  Memory memory(world);
  memory.buddy.add_free_range(memory.at(0), memory.at(memory.frames()));
  FrameAllocator allocator(memory.buddy);
  std::vector<std::atomic<int>> owners(memory.frames());
  auto work = [&] {
    std::mt19937 random(static_cast<unsigned>(platform::current_hart()));
    std::vector<Pa> held;
    for (int step = 0; step < 4000; ++step) {
      if (random() % 2 == 0) {
        const auto frame = allocator.allocate(FrameContents::Any);
        if (!frame) continue;
        CHECK(owners[(*frame - memory.at(0)) / static_cast<std::int64_t>(kPageSize)].fetch_add(1) == 0);
        held.push_back(*frame);
      } else if (!held.empty()) {
        owners[(held.back() - memory.at(0)) / static_cast<std::int64_t>(kPageSize)].fetch_sub(1);
        allocator.info(held.back()).references = 0;
        allocator.release(held.back());
        held.pop_back();
      }
    }
    for (Pa frame : held) {
      owners[(frame - memory.at(0)) / static_cast<std::int64_t>(kPageSize)].fetch_sub(1);
      allocator.info(frame).references = 0;
      allocator.release(frame);
    }
    allocator.drain();
  };
  world.machine.run_in_parallel({work, work, work});
  memory.buddy.check();
  CHECK(allocator.free_frames() == memory.frames());
}

TEST_CASE("blocks for large leaves come from the same memory, zeroed when that is asked") {
  World world;
  Memory memory(world);
  memory.buddy.add_free_range(memory.at(0), memory.at(memory.frames()));
  FrameAllocator allocator(memory.buddy);
  const auto block = allocator.allocate_block(9, FrameContents::Zeroed);
  REQUIRE(block.has_value());
  CHECK(block->value() % kMegapageSize == 0);
  for (std::size_t i = 0; i < 512; i += 73) {
    CHECK(platform::frame_bytes(*block + i * kPageSize)[i] == std::byte{0});
  }
  CHECK(allocator.free_frames() == memory.frames() - 512);
  allocator.info(*block).references = 0;
  allocator.release_block(*block, 9);
  CHECK(allocator.free_frames() == memory.frames());
}

TEST_SUITE_END();
