// The page table: map, unmap, walk, walk_mut, protect, clear.

#include "kernel/mm/page_table.hpp"

#include <doctest/doctest.h>

#include "test/host/machine/panic.hpp"
#include "test/host/running_table.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {
const Va kPage = Va::checked(0x12'3456'7000);
}

TEST_SUITE_BEGIN("page table");

TEST_CASE("a fresh table maps nothing and costs one frame") {
  World world;
  PageTable table = *PageTable::create();
  CHECK(world.frames_used() == 1);
  CHECK_FALSE(table.walk(kPage).has_value());
  CHECK(table.resident_pages() == 0);
}

TEST_CASE("a table that a hart still runs refuses to die") {
  World world;
  const auto message = panic_of([&] {
    const PageTable table = *PageTable::create();
    world.run(hart_id(0), table.space());
  });
  // The table itself says so, before it lets go of anything; its space would say so only at the very end.
  CHECK(message == "assertion failed: !space_->is_active()");
}

TEST_CASE("a table whose root cannot be had is OutOfMemory") {
  World world;
  for (std::uint64_t n = 1;; ++n) {
    world.machine.fail_allocation(n);
    auto table = PageTable::create();
    world.machine.fail_allocation(0);
    if (table) break;
    CHECK(table.error() == KernelError::OutOfMemory);
    CHECK(world.frames_used() == 0);
    CHECK(world.objects_used() == 0);
  }
}

TEST_CASE("a mapped page is translated with exactly the rights given") {
  for (Permission permission : {Permission::read(), Permission::read_write(), Permission::read_execute(),
                                Permission::execute(), Permission::read_write_execute()}) {
    World world;
    Running running(world);
    REQUIRE(running.table.map(kPage, frame_with(42), permission).has_value());
    for (Access access : {Access::Read, Access::Write, Access::Execute}) {
      CHECK(running.access(kPage, access, 42).has_value() == permission.allows(access));
    }
    if (permission.readable()) CHECK(running.access(kPage) == 42);
    CHECK_FALSE(running.access(kPage + kPageSize).has_value());
    CHECK_FALSE(running.access(Va::checked(kPage.value() - 1)).has_value());
  }
}

TEST_CASE("map refuses an unaligned address and a page already mapped, and changes nothing") {
  World world;
  PageTable table = *PageTable::create();
  REQUIRE(table.map(kPage, frame_with(1), Permission::read()).has_value());
  const std::size_t frames = world.frames_used();
  CHECK(table.map(kPage + 1, frame_with(2), Permission::read()).error() == KernelError::InvalidArgument);
  CHECK(table.map(kPage, frame_with(2), Permission::read()).error() == KernelError::AlreadyMapped);
  CHECK(table.map(Va::checked(kUserEnd), frame_with(2), Permission::read()).error() ==
        KernelError::InvalidArgument);
  CHECK(world.frames_used() == frames);
  CHECK(table.walk(kPage)->entry.permission() == Permission::read());
}

TEST_CASE("map without memory for its tables is OutOfMemory and leaves nothing mapped") {
  World world;
  for (std::uint64_t n = 1; n <= 3; ++n) {
    PageTable table = *PageTable::create();
    Frame frame = frame_with(1);
    world.machine.fail_allocation(n);
    const auto result = table.map(kPage, std::move(frame), Permission::read());
    world.machine.fail_allocation(0);
    CHECK(result.has_value() == (n == 3));  // two tables are missing
    if (!result) CHECK(result.error() == KernelError::OutOfMemory);
    CHECK(table.walk(kPage).has_value() == (n == 3));
  }
  CHECK(world.frames_used() == 0);
}

TEST_CASE("walk finds the entry of an address and its physical address") {
  World world;
  PageTable table = *PageTable::create();
  Frame frame = frame_with(1);
  const Pa pa = frame.pa();
  REQUIRE(table.map(kPage, std::move(frame), Permission::read_write()).has_value());
  const auto translation = table.walk(kPage + 0x123);
  REQUIRE(translation.has_value());
  CHECK(translation->level == 0);
  CHECK(translation->pa(kPage + 0x123) == pa + 0x123);
  CHECK_FALSE(translation->shared);
  CHECK_FALSE(table.walk(kPage + kPageSize).has_value());
  CHECK_FALSE(table.walk(Va::checked(kUserEnd)).has_value());
}

TEST_CASE("unmap yields the debt of a fence, and the frame goes when it is paid") {
  World world;
  Running running(world);
  REQUIRE(running.table.map(kPage, frame_with(9), Permission::read()).has_value());
  CHECK(running.access(kPage) == 9);
  const std::size_t frames = world.frames_used();
  {
    TlbBatch batch(running.table.space());
    auto stale = running.table.unmap(kPage);
    REQUIRE(stale.has_value());
    CHECK(running.access(kPage) == 9);  // until the fence the hart may still use it, and so the frame lives
    batch.absorb(*std::move(stale));
    CHECK(world.frames_used() == frames);
  }
  CHECK(world.frames_used() < frames);
  CHECK_FALSE(running.access(kPage).has_value());
  CHECK(running.table.unmap(kPage).error() == KernelError::NotMapped);
}

TEST_CASE("range unmap removes what is there, passes over holes, and frees tables that became empty") {
  World world;
  Running running(world);
  const std::size_t frames = world.frames_used();
  // Across a 2 MiB and a 1 GiB boundary.
  const Va start = Va::checked(2 * kGigapageSize - 3 * kPageSize);
  for (std::uint64_t i : {0, 1, 3, 4, 7}) {
    REQUIRE(running.table.map(start + i * kPageSize, frame_with(1), Permission::read_write()).has_value());
    CHECK(running.access(start + i * kPageSize) == 1);
  }
  CHECK(running.table.resident_pages() == 5);
  {
    TlbBatch batch(running.table.space());
    REQUIRE(running.table.unmap(pages_from(start, 10), batch).has_value());
  }
  CHECK(running.table.resident_pages() == 0);
  CHECK(world.frames_used() == frames);
  for (std::uint64_t i = 0; i < 10; ++i) CHECK_FALSE(running.access(start + i * kPageSize).has_value());
  world.machine.check_coherence();
}

TEST_CASE("range unmap touches nothing outside the range") {
  World world;
  Running running(world);
  const Va start = Va::checked(kGigapageSize - 2 * kPageSize);
  for (std::uint64_t i = 0; i < 6; ++i) {
    REQUIRE(
        running.table.map(start + i * kPageSize, frame_with(static_cast<std::uint8_t>(i)), Permission::read())
            .has_value());
  }
  {
    TlbBatch batch(running.table.space());
    REQUIRE(running.table.unmap(pages_from(start + kPageSize, 4), batch).has_value());
  }
  CHECK(running.access(start) == 0);
  CHECK(running.access(start + 5 * kPageSize) == 5);
  CHECK(running.table.resident_pages() == 2);
}

TEST_CASE("range unmap and protect refuse unaligned ranges") {
  World world;
  PageTable table = *PageTable::create();
  TlbBatch batch(table.space());
  CHECK(table.unmap(*VaRange::from(0x1001, 0x1000), batch).error() == KernelError::InvalidArgument);
  CHECK(table.unmap(*VaRange::from(0x1000, 0x1001), batch).error() == KernelError::InvalidArgument);
  CHECK(table.protect(*VaRange::from(0x1000, 0x10), Permission::read(), batch).error() ==
        KernelError::InvalidArgument);
}

TEST_CASE("protect narrows on every hart before it returns, and widens") {
  World world;
  Running running(world);
  world.run(hart_id(3), running.table.space());
  Hart& other = world.machine.hart(hart_id(3));
  REQUIRE(running.table.map(kPage, frame_with(7), Permission::read_write()).has_value());
  CHECK(running.access(kPage, Access::Write, 8).has_value());
  CHECK(other.access(kPage, Access::Write, 1, 9).has_value());
  auto protect = [&](Permission permission) {
    TlbBatch batch(running.table.space());
    REQUIRE(running.table.protect(pages_from(kPage, 1), permission, batch).has_value());
  };
  protect(Permission::read());
  CHECK_FALSE(running.access(kPage, Access::Write, 1).has_value());
  CHECK_FALSE(other.access(kPage, Access::Write, 1, 1).has_value());
  CHECK(other.access(kPage, Access::Read, 1) == 9);
  protect(Permission::none());
  CHECK_FALSE(running.access(kPage).has_value());
  CHECK_FALSE(other.access(kPage, Access::Read, 1).has_value());
  CHECK(running.table.walk(kPage).has_value());  // the page is kept
  protect(Permission::read_write());
  CHECK(running.table.walk(kPage)->entry.permission() == Permission::read_write());
  world.machine.hart(hart_id(0)).fence_everything();
  CHECK(running.access(kPage) == 9);
}

TEST_CASE("widening fences no hart: neither protect that only adds rights nor an entry that gains them") {
  World world;
  Running running(world);
  world.run(hart_id(3), running.table.space());
  REQUIRE(running.table.map(kPage, frame_with(7), Permission::read()).has_value());
  CHECK(running.access(kPage) == 7);
  world.machine.record_fences(true);
  {
    TlbBatch batch(running.table.space());
    REQUIRE(running.table.protect(pages_from(kPage, 1), Permission::read_execute(), batch).has_value());
  }
  running.table.walk_mut(kPage)->widen(Permission::read_write_execute(), true);
  CHECK(world.machine.take_fences().empty());
  CHECK(running.table.walk(kPage)->entry.permission() == Permission::read_write_execute());
}

TEST_CASE("protect gives W only as far as it may: always, to a sole owner, or never") {
  for (GrantWrite grant : {GrantWrite::Always, GrantWrite::ToSoleOwner, GrantWrite::Never}) {
    World world;
    PageTable table = *PageTable::create();
    Frame shared = frame_with(1);
    REQUIRE(table.map(kPage, frame_with(1), Permission::read()).has_value());
    REQUIRE(table.map(kPage + kPageSize, shared.share(), Permission::read()).has_value());
    {
      TlbBatch batch(table.space());
      REQUIRE(table.protect(pages_from(kPage, 2), Permission::read_write(), batch, grant).has_value());
    }
    CHECK(table.walk(kPage)->entry.permission().writable() == (grant != GrantWrite::Never));
    CHECK(table.walk(kPage + kPageSize)->entry.permission().writable() == (grant == GrantWrite::Always));
  }
}

TEST_CASE("walk_mut makes the tables that are missing and locks the entry") {
  World world;
  Running running(world);
  {
    auto entry = running.table.walk_mut(kPage);
    REQUIRE(entry.has_value());
    CHECK(entry->get().is_empty());
    CHECK(entry->va() == kPage);
    entry->install(frame_with(5), Permission::read(), 0, false);
  }
  running.table.space().refresh_local(kPage);
  CHECK(running.access(kPage) == 5);
}

TEST_CASE("replace gives the right to write only once no hart reads the old page any more") {
  World world;
  Running running(world);
  REQUIRE(running.table.map(kPage, frame_with(5), Permission::read()).has_value());
  CHECK(running.access(kPage) == 5);
  Frame copy = frame_with(5);
  const Pa new_page = copy.pa();
  bool fenced = false;
  world.machine.at_next_fence([&] {
    fenced = true;
    const Pte entry = running.table.walk(kPage)->entry;
    CHECK(entry.pa() == new_page);
    CHECK_FALSE(entry.permission().writable());
  });
  running.table.walk_mut(kPage)->replace(std::move(copy), Permission::read_write(), true);
  CHECK(fenced);
  CHECK(running.table.walk(kPage)->entry.permission().writable());
}

TEST_CASE("replace moves every hart to the new page before it returns, and only then frees the old one") {
  World world;
  Running running(world);
  world.run(hart_id(1), running.table.space());
  REQUIRE(running.table.map(kPage, frame_with(5), Permission::read()).has_value());
  CHECK(running.access(kPage) == 5);
  CHECK(world.machine.hart(hart_id(1)).access(kPage, Access::Read, 1) == 5);
  const std::size_t frames = world.frames_used();
  {
    auto entry = running.table.walk_mut(kPage);
    entry->replace(frame_with(6), Permission::read_write(), true);
  }
  CHECK(world.frames_used() == frames);
  CHECK(running.access(kPage) == 6);
  CHECK(world.machine.hart(hart_id(1)).access(kPage, Access::Read, 1) == 6);
  running.table.space().refresh_local(
      kPage);  // until both harts had left the old page, the new one was read-only
  CHECK(running.access(kPage, Access::Write, 7).has_value());
  world.machine.check_coherence();
}

TEST_CASE("clear removes everything; destruction returns every frame") {
  World world;
  {
    PageTable table = *PageTable::create();
    for (std::uint64_t i = 1; i < 200; ++i) {
      REQUIRE(table.map(Va::checked(i * 37 * kMegapageSize), frame_with(1), Permission::read()).has_value());
    }
    CHECK(table.resident_pages() == 199);
    table.clear();
    CHECK(table.resident_pages() == 0);
    REQUIRE(table.map(kPage, frame_with(1), Permission::read()).has_value());
  }
  CHECK(world.frames_used() == 0);
  CHECK(world.objects_used() == 0);
}

TEST_CASE("every new space copies the kernel half of the root given at start-up") {
  Machine machine;
  Frame root = *Frame::allocate(FrameContents::Zeroed);
  auto* words = reinterpret_cast<std::uint64_t*>(root.bytes().data());
  for (std::size_t i = 256; i < kEntriesPerTable; ++i) {
    words[i] = Pte::kernel(Pa::checked(i * kGigapageSize), Permission::read_write()).raw();
  }
  {
    auto system = MemorySystem::create(root.pa(), 16);
    REQUIRE(system.has_value());
    PageTable table = *PageTable::create();
    const auto* copy = reinterpret_cast<const std::uint64_t*>(platform::frame_bytes(table.space().root()));
    for (std::size_t i = 0; i < kEntriesPerTable; ++i) CHECK(copy[i] == (i < 256 ? 0 : words[i]));
    REQUIRE(table.map(kPage, frame_with(1), Permission::read()).has_value());
    table.clear();
    CHECK(copy[300] == words[300]);
  }
}

TEST_SUITE_END();
