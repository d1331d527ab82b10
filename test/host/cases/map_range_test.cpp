// The page table: map_range, and what may be done to the large leaves that it makes.

#include <doctest/doctest.h>

#include "test/host/running_table.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {
const Va kPage = Va::checked(0x12'3456'7000);
}

TEST_SUITE_BEGIN("page table");

TEST_CASE("map_range uses the largest leaves that alignment allows") {
  World world(std::size_t{1} << 20);
  Running running(world);
  const auto block = platform::allocate_block(10, FrameContents::Zeroed);  // 4 MiB
  REQUIRE(block.has_value());
  const Va start = Va::checked(5 * kGigapageSize - kPageSize);
  // Not aligned alike: small pages only.
  REQUIRE(running.table.map_range(pages_from(start, 3), *block, Permission::read()).has_value());
  CHECK(running.table.walk(start)->level == 0);
  running.table.clear();
  const Va aligned = Va::checked(5 * kGigapageSize);
  REQUIRE(running.table
              .map_range(VaRange(aligned, aligned + (kMegapageSize + kPageSize)), *block,
                         Permission::read_write())
              .has_value());
  CHECK(running.table.walk(aligned)->level == 1);
  CHECK(running.table.walk(aligned + kMegapageSize)->level == 0);
  CHECK(running.table.walk(aligned + 0x12345)->pa(aligned + 0x12345) == *block + 0x12345);
  CHECK(running.access(aligned + kPageSize, Access::Write, 3).has_value());
  CHECK(platform::frame_bytes(*block + kPageSize)[0] == std::byte{3});

  SUBCASE("unmapping whole large leaves works, and leaves the memory to its owner") {
    TlbBatch batch(running.table.space());
    REQUIRE(running.table.unmap(VaRange(aligned, aligned + kMegapageSize), batch).has_value());
    batch.finish();
    CHECK_FALSE(running.access(aligned + kPageSize).has_value());
    CHECK(running.access(aligned + kMegapageSize).has_value());
  }
  SUBCASE("cutting a large leaf is refused, and nothing changes") {
    TlbBatch batch(running.table.space());
    CHECK(running.table.unmap(VaRange(aligned + kPageSize, aligned + kMegapageSize), batch).error() ==
          KernelError::InvalidArgument);
    CHECK(running.table.protect(VaRange(aligned, aligned + kPageSize), Permission::read(), batch).error() ==
          KernelError::InvalidArgument);
    CHECK(running.access(aligned + kPageSize, Access::Write, 4).has_value());
  }
  SUBCASE("a small page cannot be mapped into a large leaf") {
    CHECK(running.table.walk_mut(aligned + kPageSize).error() == KernelError::AlreadyMapped);
    CHECK(running.table.map(aligned + kPageSize, frame_with(1), Permission::read()).error() ==
          KernelError::AlreadyMapped);
  }
  SUBCASE("protecting a whole large leaf narrows it") {
    TlbBatch batch(running.table.space());
    REQUIRE(running.table.protect(VaRange(aligned, aligned + kMegapageSize), Permission::read(), batch)
                .has_value());
    batch.finish();
    CHECK_FALSE(running.access(aligned + kPageSize, Access::Write, 4).has_value());
    CHECK(running.access(aligned + kPageSize) == 3);
  }
  running.table.clear();
  platform::frame_info(*block).references = 0;
  platform::release_block(*block, 10);
}

namespace {

/// Ranges that one large leaf each maps, of 1 GiB and of 2 MiB, to memory that nobody touches.
constexpr VaRange kGigapage(Va::checked(4 * kGigapageSize), Va::checked(5 * kGigapageSize));
constexpr VaRange kMegapage(Va::checked(6 * kGigapageSize + kMegapageSize),
                            Va::checked(6 * kGigapageSize + 2 * kMegapageSize));
constexpr Pa kMemory = Pa::checked(kGigapageSize);

void map_large_leaves(PageTable& table) {
  for (const VaRange range : {kGigapage, kMegapage}) {
    REQUIRE(table.map_range(range, kMemory, Permission::read_write()).has_value());
  }
  REQUIRE(table.walk(kGigapage.start())->level == 2);
  REQUIRE(table.walk(kMegapage.start())->level == 1);
}

}  // namespace

TEST_CASE(
    "a whole large leaf of either size is narrowed and removed; a range that begins or ends inside it is "
    "refused") {
  World world;
  Running running(world);
  map_large_leaves(running.table);
  for (const VaRange range : {kGigapage, kMegapage}) {
    CAPTURE(range.size());
    TlbBatch batch(running.table.space());
    const Va inside = range.start() + range.size() / 2;
    for (const VaRange cut : {VaRange(inside, range.end()), VaRange(range.start(), inside)}) {
      CHECK(running.table.protect(cut, Permission::read(), batch).error() == KernelError::InvalidArgument);
      CHECK(running.table.unmap(cut, batch).error() == KernelError::InvalidArgument);
      CHECK(running.table.walk(inside)->entry.permission() == Permission::read_write());
    }
    REQUIRE(running.table.protect(range, Permission::read(), batch).has_value());
    CHECK(running.table.walk(inside)->entry.permission() == Permission::read());
    REQUIRE(running.table.unmap(range, batch).has_value());
    CHECK_FALSE(running.table.walk(inside).has_value());
  }
  CHECK(running.table.resident_pages() == 0);
}

TEST_CASE(
    "fork gives the child the large leaves of either size, with their rights, and each side may remove its "
    "own") {
  World world;
  Running running(world);
  map_large_leaves(running.table);
  {
    PageTable child = *PageTable::create();
    {
      TlbBatch batch(running.table.space());
      for (const VaRange range : {kGigapage, kMegapage})
        REQUIRE(running.table.fork_into(child, range, batch).has_value());
    }
    for (const VaRange range : {kGigapage, kMegapage}) {
      TlbBatch batch(running.table.space()), child_batch(child.space());
      const Va inside = range.start() + kPageSize;
      REQUIRE(child.walk(inside).has_value());
      CHECK(child.walk(inside)->entry == running.table.walk(inside)->entry);
      CHECK(child.walk(inside)->level == running.table.walk(inside)->level);
      CHECK(child.walk(inside)->entry.permission() == Permission::read_write());
      REQUIRE(running.table.unmap(range, batch).has_value());
      CHECK(child.walk(inside).has_value());
      REQUIRE(child.unmap(range, child_batch).has_value());
    }
    CHECK(child.resident_pages() == 0);
  }
  CHECK(world.frames_used() == 1);
}

TEST_CASE("map_range makes no large leaf of memory that is aligned otherwise than its address") {
  World world(std::size_t{1} << 20);
  Running running(world);
  const auto block = platform::allocate_block(10, FrameContents::Zeroed);  // 4 MiB
  REQUIRE(block.has_value());
  const VaRange range(Va::checked(5 * kGigapageSize),
                      Va::checked(5 * kGigapageSize) + (kMegapageSize + kPageSize));
  REQUIRE(running.table.map_range(range, *block + kPageSize, Permission::read_write()).has_value());
  CHECK(running.table.walk(range.start())->level == 0);
  CHECK(running.access(range.start() + 5 * kPageSize, Access::Write, 3).has_value());
  CHECK(platform::frame_bytes(*block + 6 * kPageSize)[0] == std::byte{3});
  running.table.clear();
  platform::frame_info(*block).references = 0;
  platform::release_block(*block, 10);
}

TEST_CASE("map_range refuses what is unaligned or overlaps, and then has changed nothing") {
  World world;
  PageTable table = *PageTable::create();
  REQUIRE(table.map(kPage + 2 * kPageSize, frame_with(1), Permission::read()).has_value());
  const std::size_t frames = world.frames_used();
  const Pa pa = Pa::checked(0x8000'0000);
  CHECK(table.map_range(pages_from(kPage, 3), pa, Permission::read()).error() == KernelError::AlreadyMapped);
  CHECK(table.map_range(*VaRange::from(0x1001, 0x1000), pa, Permission::read()).error() ==
        KernelError::InvalidArgument);
  CHECK(table.map_range(pages_from(kPage, 1), pa + 1, Permission::read()).error() ==
        KernelError::InvalidArgument);
  CHECK_FALSE(table.walk(kPage).has_value());
  CHECK(table.resident_pages() == 1);
  CHECK(world.frames_used() == frames);
}

TEST_CASE("map_range without memory is OutOfMemory, and then has changed nothing") {
  World world;
  for (std::uint64_t n = 1;; ++n) {
    PageTable table = *PageTable::create();
    const Va start = Va::checked(kGigapageSize - kPageSize);  // needs four tables
    world.machine.fail_allocation(n);
    const auto result = table.map_range(pages_from(start, 2), Pa::checked(0x8000'0000), Permission::read());
    world.machine.fail_allocation(0);
    if (result) break;
    CHECK(result.error() == KernelError::OutOfMemory);
    CHECK_FALSE(table.walk(start).has_value());
    CHECK(world.frames_used() == 1);
  }
}

TEST_SUITE_END();
