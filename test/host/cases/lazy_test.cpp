// LazyPager: demand paging and copy-on-write.

#include "test/host/cases/lazy.hpp"

#include <doctest/doctest.h>

using namespace faultline;
using namespace faultline::sim;

namespace {
const Va kStart = va_at(0x1234'5000);
}

TEST_SUITE_BEGIN("LazyPager");

TEST_CASE("LazyPager: mmap records an area and creates no page-table page") {
  Lazy process;
  REQUIRE(process.map(kStart, 100 * kPageSize).has_value());
  CHECK(process.frames() == 0);
  const VmArea* area = process.mm.pager().areas().find(kStart);
  REQUIRE(area != nullptr);
  CHECK(area->range() == pages_at(kStart, 100));
  CHECK(area->permission() == Permission::read_write());
  CHECK(area->is_anonymous());
}

TEST_CASE("LazyPager: the first access of a page loads that page and no other") {
  Lazy process;
  REQUIRE(process.map(kStart, 100 * kPageSize).has_value());
  CHECK(process.write(kStart + 50 * kPageSize, 1).has_value());
  CHECK(process.resident() == 1);
  CHECK(process.frames() == 3);  // the page and two tables
}

TEST_CASE("LazyPager: a sole owner's copy-on-write fault takes the page over without copying") {
  Lazy process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  CHECK(process.write(kStart, 1).has_value());
  const Pa frame = frame_at(process, kStart);
  {
    Child<LazyPager> child(process.world, *process.mm.fork(), hart_id(1));
    CHECK(child.read(kStart) == 1);
  }
  Rise copies(Counter::CopyOnWrite);
  CHECK(process.write(kStart, 2).has_value());
  CHECK(frame_at(process, kStart) == frame);
  CHECK(copies() == 0);
}

TEST_CASE("LazyPager: the child is the sole owner when the parent has copied or gone") {
  Lazy process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  CHECK(process.write(kStart, 1).has_value());
  Child<LazyPager> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(child.read(kStart) == 1);
  CHECK(process.write(kStart, 2).has_value());
  const Pa frame = child.mm.walk(kStart)->entry.pa();
  Rise copies(Counter::CopyOnWrite);
  CHECK(child.write(kStart, 3).has_value());
  CHECK(child.mm.walk(kStart)->entry.pa() == frame);
  CHECK(copies() == 0);
  CHECK(process.read(kStart) == 2);
}

TEST_CASE("LazyPager: a read fault on anonymous memory maps the shared zero page") {
  Lazy process;
  REQUIRE(process.map(kStart, 10 * kPageSize).has_value());
  for (std::uint64_t i = 0; i < 10; ++i) CHECK(process.read(kStart + i * kPageSize) == 0);
  for (std::uint64_t i = 0; i < 10; ++i) {
    CHECK(frame_at(process, kStart + i * kPageSize) == process.world.system().zero_page());
  }
  CHECK(process.frames() == 2);  // tables only
}

TEST_CASE("LazyPager: a write to the zero page gets a page of its own, and the zero page stays zero") {
  Lazy process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  CHECK(process.read(kStart) == 0);
  CHECK(process.read(kStart + kPageSize) == 0);
  CHECK(process.write(kStart, 9).has_value());
  CHECK(process.read(kStart) == 9);
  CHECK(process.read(kStart + 1) == 0);
  CHECK(process.read(kStart + kPageSize) == 0);
  process.world.check_zero_page();
  CHECK(process.unmap(kStart).has_value());
  process.world.check_zero_page();
}

TEST_CASE("LazyPager: the zero page is never written through fork, protect or a kernel copy") {
  Lazy process;
  REQUIRE(process.map(kStart, 3 * kPageSize).has_value());
  for (std::uint64_t i = 0; i < 3; ++i) CHECK(process.read(kStart + i * kPageSize) == 0);
  Child<LazyPager> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(child.write(kStart, 1).has_value());
  CHECK(process.write(kStart, 2).has_value());
  REQUIRE(process.mm.protect(pages_at(kStart, 3), Permission::read()).has_value());
  REQUIRE(process.mm.protect(pages_at(kStart, 3), Permission::read_write()).has_value());
  CHECK(process.write(kStart + kPageSize, 3).has_value());
  CHECK(process.mm.copy_out(kStart + 2 * kPageSize, std::uint64_t{5}).has_value());
  process.world.check_zero_page();
  CHECK(child.read(kStart + 2 * kPageSize) == 0);
}

TEST_CASE(
    "LazyPager: a spurious fault, of an access that the entry already allows, succeeds and changes nothing") {
  Lazy process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  CHECK(process.write(kStart, 4).has_value());
  const std::string before = process.snapshot();
  for (Access access : {Access::Read, Access::Write}) {
    CHECK(process.mm.handle_page_fault({kStart, access}).has_value());
  }
  CHECK(process.snapshot() == before);
}

TEST_CASE("LazyPager: a hart that remembers the page as not loaded faults once and goes on") {
  Lazy process;
  process.world.run(hart_id(1), process.mm.space());
  REQUIRE(process.map(kStart, kPageSize).has_value());
  Hart& other = process.world.machine.hart(hart_id(1));
  CHECK_FALSE(other.access(kStart, Access::Read, 1).has_value());  // and remembers
  CHECK(process.write(kStart, 6).has_value());
  Rise spurious(Counter::SpuriousFault);
  CHECK(process.read(kStart, hart_id(1)) == 6);
  CHECK(spurious() == 1);
}

TEST_CASE(
    "LazyPager: one fault is enough for each kind of access, where harts do not remember what was not "
    "valid") {
  Lazy process;
  process.world.machine.set_gentle(true);
  Ref<MemoryFile> file = MemoryFile::with_pattern(4 * kPageSize);
  REQUIRE(process.map(kStart, kPageSize).has_value());
  REQUIRE(process.map(kStart + kPageSize, kPageSize, Permission::read_write(), file.get()).has_value());
  REQUIRE(process.map(kStart + 2 * kPageSize, kPageSize, Permission::read_execute(), file.get()).has_value());
  Rise faults(Counter::PageFault);
  CHECK(process.write(kStart, 1).has_value());
  CHECK(faults() == 1);
  CHECK(process.write(kStart + kPageSize, 1).has_value());
  CHECK(faults() == 2);
  CHECK(process.execute(kStart + 2 * kPageSize).has_value());
  CHECK(process.read(kStart + 2 * kPageSize).has_value());
  CHECK(faults() == 3);
  CHECK(process.read(kStart).has_value());
  CHECK(process.write(kStart + 1, 2).has_value());
  CHECK(faults() == 3);
}

TEST_CASE(
    "LazyPager: a page that gains rights where it stands is writable at once: one fault, even for a hart "
    "that knew it") {
  Lazy process;
  process.world.machine.set_gentle(true);
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  REQUIRE(process.map(kStart, kPageSize).has_value());
  REQUIRE(process.map(kStart + kPageSize, kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared)
              .has_value());
  CHECK(process.write(kStart, 1).has_value());
  {
    const Child<LazyPager> child(process.world, *process.mm.fork(), hart_id(1));
  }
  for (const Va page : {kStart, kStart + kPageSize}) {
    CHECK(process.read(page).has_value());  // the hart now remembers a page that it may not write
    Rise faults(Counter::PageFault);
    CHECK(process.write(page, 2).has_value());
    CHECK(faults() == 1);
  }
}

TEST_CASE("LazyPager: the counters tell the kinds of fault apart") {
  Lazy process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  REQUIRE(process.map(kStart + 2 * kPageSize, kPageSize, Permission::read_write(), file.get()).has_value());
  Rise zero(Counter::ZeroPageMapped), demand(Counter::DemandZero), from_file(Counter::FileFault),
      copies(Counter::CopyOnWrite), failed(Counter::FailedFault);
  CHECK(process.read(kStart).has_value());
  CHECK(zero() == 1);
  CHECK(process.write(kStart + kPageSize, 1).has_value());
  CHECK(demand() == 1);
  CHECK(process.read(kStart + 2 * kPageSize).has_value());
  CHECK(from_file() == 1);
  CHECK(process.write(kStart + 2 * kPageSize, 1).has_value());
  CHECK(copies() == 1);
  CHECK_FALSE(process.read(va_at(0)).has_value());
  CHECK(failed() == 1);
}

TEST_CASE("LazyPager: the pager is cloneable: the clone has the same areas, and its own") {
  Lazy process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(8 * kPageSize);
  REQUIRE(process.map(kStart, 3 * kPageSize, Permission::read()).has_value());
  REQUIRE(process.map(kStart + 5 * kPageSize, 3 * kPageSize, Permission::read_write(), file.get(), kPageSize)
              .has_value());
  PageTable table = *PageTable::create();
  auto clone = process.mm.pager().clone(table.space());
  REQUIRE(clone.has_value());
  CHECK(clone->areas().count() == 2);
  CHECK(clone->access_ok(kStart, Access::Read));
  CHECK_FALSE(clone->access_ok(kStart, Access::Write));
  const VmArea* area = clone->areas().find(kStart + 5 * kPageSize);
  REQUIRE(area != nullptr);
  CHECK(area->file() == file.get());
  CHECK(area->page_index(area->start()) == 1);
  REQUIRE(process.unmap(kStart).has_value());
  CHECK(clone->access_ok(kStart, Access::Read));
  clone->clear(table);
}

TEST_CASE("LazyPager: adjacent anonymous mappings of one permission do not pile up areas") {
  Lazy process;
  for (std::uint64_t i = 0; i < 100; ++i) {
    REQUIRE(process.mm.mmap(kStart + i * kPageSize, kPageSize, Permission::read_write(), {.fixed = true})
                .has_value());
  }
  const std::size_t grown = process.mm.pager().areas().count();
  for (std::uint64_t i = 0; i < 50; ++i) {
    REQUIRE(process.mm.protect(pages_at(kStart + (i + 10) * kPageSize, 3), Permission::read()).has_value());
    REQUIRE(
        process.mm.protect(pages_at(kStart + (i + 10) * kPageSize, 3), Permission::read_write()).has_value());
  }
  CHECK(process.mm.pager().areas().count() == grown);
}

TEST_SUITE_END();
