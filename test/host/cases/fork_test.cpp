// fork: two spaces that cannot be told from two copies.

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "kernel/mm/statistics.hpp"
#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {
const Va kStart = va_at(0x1234'5000);
}

TEST_SUITE_BEGIN("fork");

TEST_CASE_TEMPLATE("the child sees what the parent had, and neither sees what the other writes", P,
                   EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 4 * kPageSize).has_value());
  CHECK(process.write(kStart, 1).has_value());
  CHECK(process.write(kStart + kPageSize, 2).has_value());
  CHECK(process.read(kStart + 2 * kPageSize) == 0);
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(child.read(kStart) == 1);
  CHECK(child.read(kStart + kPageSize) == 2);
  CHECK(child.read(kStart + 3 * kPageSize) == 0);
  CHECK(child.write(kStart, 11).has_value());
  CHECK(process.read(kStart) == 1);
  CHECK(process.write(kStart + kPageSize, 12).has_value());
  CHECK(child.read(kStart + kPageSize) == 2);
  CHECK(process.write(kStart + 2 * kPageSize, 13).has_value());
  CHECK(child.read(kStart + 2 * kPageSize) == 0);
  CHECK(child.write(kStart + 3 * kPageSize, 14).has_value());
  CHECK(process.read(kStart + 3 * kPageSize) == 0);
  CHECK(child.read(kStart) == 11);
}

TEST_CASE("LazyPager: fork copies no page, and no page-table page but the root") {
  Process<LazyPager> process;
  REQUIRE(process.map(kStart, 100 * kPageSize).has_value());
  for (std::uint64_t i = 0; i < 100; ++i) CHECK(process.write(kStart + i * kPageSize, 1).has_value());
  const std::size_t frames = process.frames();
  auto copies = counter_total(Counter::CopyOnWrite);
  Child<LazyPager> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(counter_total(Counter::CopyOnWrite) == copies);
  CHECK(process.frames() <= frames + 3);  // root and at most two tables
  CHECK(child.write(kStart, 2).has_value());
  CHECK(counter_total(Counter::CopyOnWrite) == copies + 1);
}

TEST_CASE(
    "LazyPager: write_protect_ptes returns the child; every private page of the parent is read-only then") {
  Process<LazyPager> process;
  process.world.run(hart_id(3), process.mm.space());
  REQUIRE(process.map(kStart, 3 * kPageSize).has_value());
  for (std::uint64_t i = 0; i < 3; ++i) {
    CHECK(process.write(kStart + i * kPageSize, 1).has_value());
    CHECK(process.write(kStart + i * kPageSize, 1, hart_id(3)).has_value());
  }
  auto child_mm = LazyPager::write_protect_ptes(process.mm);
  REQUIRE(child_mm.has_value());
  Child<LazyPager> child(process.world, *std::move(child_mm), hart_id(1));
  for (unsigned h : {0, 3}) {
    for (std::uint64_t i = 0; i < 3; ++i) {
      CHECK_FALSE(process.world.machine.hart(hart_id(h)).access(kStart + i * kPageSize, Access::Write, 1, 9));
    }
  }
  process.world.machine.check_coherence();
  for (std::uint64_t i = 0; i < 3; ++i) {
    const Va page = kStart + i * kPageSize;
    CHECK(child.read(page) == 1);
    CHECK(process.read(page) == 1);
    CHECK_FALSE(process.mm.walk(page)->entry.permission().writable());
    CHECK_FALSE(child.mm.walk(page)->entry.permission().writable());
    CHECK(child.mm.walk(page)->entry.pa() == process.mm.walk(page)->entry.pa());  // one frame for both
  }
}

TEST_CASE("LazyPager: write_protect_ptes without memory is OutOfMemory, and the parent writes on") {
  Process<LazyPager> process;
  REQUIRE(process.map(kStart, 3 * kPageSize).has_value());
  for (std::uint64_t i = 0; i < 3; ++i) CHECK(process.write(kStart + i * kPageSize, 1).has_value());
  const std::size_t frames = process.frames(), objects = process.world.objects_used();
  process.world.machine.fail_allocation(1, true);
  const auto child = LazyPager::write_protect_ptes(process.mm);
  process.world.machine.fail_allocation(0);
  CHECK(child.error() == KernelError::OutOfMemory);
  CHECK(process.frames() == frames);
  CHECK(process.world.objects_used() == objects);
  for (std::uint64_t i = 0; i < 3; ++i) CHECK(process.write(kStart + i * kPageSize, 2).has_value());
}

TEST_CASE_TEMPLATE("a write by another thread of the parent after fork is not seen by the child", P,
                   EVERY_PAGER) {
  Process<P> process;
  process.world.run(hart_id(1), process.mm.space());
  REQUIRE(process.map(kStart, kPageSize).has_value());
  CHECK(process.write(kStart, 1, hart_id(1)).has_value());
  Child<P> child(process.world, *process.mm.fork(), hart_id(2));
  CHECK(process.write(kStart, 2, hart_id(1)).has_value());
  CHECK(child.read(kStart) == 1);
  CHECK(process.read(kStart) == 2);
}

TEST_CASE_TEMPLATE(
    "the child sees one moment: of what a thread writes during fork, nothing without all before it", P,
    EVERY_PAGER) {
  Process<P> process;
  process.world.run(hart_id(1), process.mm.space());
  constexpr std::uint64_t kPages = 4;
  REQUIRE(process.map(kStart, kPages * kPageSize).has_value());
  for (std::uint64_t i = 0; i < kPages; ++i) CHECK(process.write(kStart + i * kPageSize, 0, hart_id(1)));
  // Hart 1 counts in all pages, one after another, until it faults: fork has the lock that it then waits for.
  std::uint8_t count = 0;
  bool waits = false;
  Hart& other = process.world.machine.hart(hart_id(1));
  process.world.machine.at_each_allocation([&] {
    OnHart there(hart_id(1));
    ++count;
    for (std::uint64_t i = 0; i < kPages && !waits; ++i)
      waits = !other.access(kStart + i * kPageSize, Access::Write, 1, count).has_value();
  });
  Child<P> child(process.world, *process.mm.fork(), hart_id(2));
  process.world.machine.at_each_allocation(nullptr);
  CHECK(count != 0);
  const std::uint64_t newest = child.read(kStart).value();
  std::uint64_t before = newest;
  for (std::uint64_t i = 1; i < kPages; ++i) {
    const std::uint64_t seen = child.read(kStart + i * kPageSize).value();
    CHECK((seen == before || seen + 1 == newest));
    before = seen;
  }
  for (std::uint64_t i = 0; i < kPages; ++i)
    CHECK(process.write(kStart + i * kPageSize, 100, hart_id(1)).has_value());
}

TEST_CASE_TEMPLATE("shared memory stays shared over fork, anonymous and of a file, touched or not", P,
                   EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(2 * kPageSize);
  REQUIRE(
      process.map(kStart, 2 * kPageSize, Permission::read_write(), nullptr, 0, Sharing::Shared).has_value());
  const Va of_file = kStart + 2 * kPageSize;
  REQUIRE(process.map(of_file, 2 * kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared)
              .has_value());
  CHECK(process.write(kStart, 1).has_value());
  CHECK(process.write(of_file, 2).has_value());
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(child.read(kStart) == 1);
  CHECK(child.read(of_file) == 2);
  CHECK(child.write(kStart, 3).has_value());
  CHECK(process.read(kStart) == 3);
  CHECK(process.write(kStart + kPageSize, 4).has_value());
  CHECK(child.read(kStart + kPageSize) == 4);
  CHECK(child.write(of_file + kPageSize, 5).has_value());
  CHECK(process.read(of_file + kPageSize) == 5);
  CHECK(file->read(kPageSize) == 5);
}

TEST_CASE_TEMPLATE("a page of shared memory that was writable before fork is writable at once on both sides",
                   P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize, Permission::read_write(), nullptr, 0, Sharing::Shared).has_value());
  CHECK(process.write(kStart, 1).has_value());
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));
  for (MmStruct<P>* mm : {&process.mm, &child.mm}) {
    const auto found = mm->page_table().walk(kStart);
    REQUIRE(found.has_value());
    CHECK(found->entry.permission().writable());
  }
}

TEST_CASE_TEMPLATE("permissions go along: read-only, executable and forbidden pages stay so in the child", P,
                   EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 3 * kPageSize).has_value());
  for (std::uint64_t i = 0; i < 3; ++i) CHECK(process.write(kStart + i * kPageSize, 7).has_value());
  REQUIRE(process.mm.protect(pages_at(kStart, 1), Permission::read()).has_value());
  REQUIRE(process.mm.protect(pages_at(kStart + kPageSize, 1), Permission::read_execute()).has_value());
  REQUIRE(process.mm.protect(pages_at(kStart + 2 * kPageSize, 1), Permission::none()).has_value());
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(child.read(kStart) == 7);
  CHECK(child.write(kStart, 1).error() == KernelError::AccessDenied);
  CHECK(child.execute(kStart).error() == KernelError::AccessDenied);
  CHECK(child.execute(kStart + kPageSize) == 7);
  CHECK(child.read(kStart + 2 * kPageSize).error() == KernelError::AccessDenied);
  REQUIRE(child.mm.protect(pages_at(kStart, 3), Permission::read_write()).has_value());
  CHECK(child.read(kStart + 2 * kPageSize) == 7);
  CHECK(child.write(kStart, 8).has_value());
  CHECK(child.write(kStart + 2 * kPageSize, 8).has_value());
  CHECK(process.read(kStart) == 7);
  REQUIRE(process.mm.protect(pages_at(kStart, 3), Permission::read_write()).has_value());
  CHECK(process.read(kStart + 2 * kPageSize) == 7);
}

TEST_CASE_TEMPLATE("protect to read-only and back over a fork does not make shared pages writable", P,
                   EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  CHECK(process.write(kStart, 1).has_value());
  CHECK(process.write(kStart + kPageSize, 1).has_value());
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(child.read(kStart) == 1);
  CHECK(process.read(kStart) == 1);
  for (MmStruct<P>* mm : {&process.mm, &child.mm}) {
    REQUIRE(mm->protect(pages_at(kStart, 2), Permission::read()).has_value());
    REQUIRE(mm->protect(pages_at(kStart, 2), Permission::read_write()).has_value());
  }
  CHECK(process.write(kStart, 2).has_value());
  CHECK(child.read(kStart) == 1);
  CHECK(child.write(kStart + kPageSize, 3).has_value());
  CHECK(process.read(kStart + kPageSize) == 1);
}

TEST_CASE_TEMPLATE("unmapping and exiting on one side leaves the other side whole", P, EVERY_PAGER) {
  Process<P> process;
  const Va far = va_at(5 * kGigapageSize - kPageSize);
  REQUIRE(process.map(kStart, 8 * kPageSize).has_value());
  REQUIRE(process.map(far, 2 * kPageSize).has_value());
  for (std::uint64_t i = 0; i < 8; ++i) {
    CHECK(process.write(kStart + i * kPageSize, static_cast<std::uint8_t>(i)).has_value());
  }
  CHECK(process.write(far, 1).has_value());
  CHECK(process.write(far + kPageSize, 2).has_value());
  {
    Child<P> child(process.world, *process.mm.fork(), hart_id(1));
    REQUIRE(child.mm.munmap(pages_at(kStart + 2 * kPageSize, 2)).has_value());
    CHECK(child.read(kStart + 2 * kPageSize).error() == KernelError::NotMapped);
    CHECK(child.read(kStart + 4 * kPageSize) == 4);
    CHECK(child.write(kStart + 5 * kPageSize, 50).has_value());
    REQUIRE(process.mm.munmap(pages_at(far, 1)).has_value());
    CHECK(child.read(far) == 1);
  }
  for (std::uint64_t i = 0; i < 8; ++i) CHECK(process.read(kStart + i * kPageSize) == i);
  CHECK(process.read(far + kPageSize) == 2);
}

TEST_CASE_TEMPLATE("the parent may exit first", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  CHECK(process.write(kStart, 9).has_value());
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));
  process.mm.clear();
  CHECK(process.read(kStart).error() == KernelError::NotMapped);
  CHECK(child.read(kStart) == 9);
  CHECK(child.write(kStart, 10).has_value());
  CHECK(child.read(kStart) == 10);
}

TEST_CASE_TEMPLATE("a chain of 100 forks: each generation keeps its own value", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  CHECK(process.write(kStart + kPageSize, 200).has_value());
  std::vector<std::unique_ptr<MmStruct<P>>> chain;
  for (unsigned i = 0; i < 100; ++i) {
    MmStruct<P>& parent = chain.empty() ? process.mm : *chain.back();
    process.world.run(hart_id(0), parent.space());
    CHECK(user_access(process.world, hart_id(0), parent, kStart, Access::Write, 1, i).has_value());
    chain.push_back(std::make_unique<MmStruct<P>>(*parent.fork()));
  }
  for (unsigned i = 100; i-- > 0;) {
    MmStruct<P>& mm = *chain[i];
    process.world.run(hart_id(0), mm.space());
    CHECK(user_access(process.world, hart_id(0), mm, kStart, Access::Read) == std::min(i + 1u, 99u));
    CHECK(user_access(process.world, hart_id(0), mm, kStart + kPageSize, Access::Read) == 200);
  }
  process.world.run(hart_id(0), process.mm.space());
}

TEST_CASE("LazyPager: the frames of forks that only read are shared, and all come back") {
  Process<LazyPager> process;
  REQUIRE(process.map(kStart, 50 * kPageSize).has_value());
  for (std::uint64_t i = 0; i < 50; ++i) CHECK(process.write(kStart + i * kPageSize, 1).has_value());
  const std::size_t frames = process.frames();
  {
    std::vector<std::unique_ptr<Child<LazyPager>>> children;
    for (unsigned n = 1; n <= 5; ++n) {
      children.push_back(std::make_unique<Child<LazyPager>>(process.world, *process.mm.fork(), hart_id(n)));
      for (std::uint64_t i = 0; i < 50; ++i) CHECK(children.back()->read(kStart + i * kPageSize) == 1);
    }
    CHECK(process.frames() <= frames + 5 * 3 + 3);
  }
  CHECK(process.read(kStart) == 1);
  CHECK(process.frames() <= frames);
}

TEST_CASE_TEMPLATE("a private file page written before fork stays private to both", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(2 * kPageSize);
  REQUIRE(process.map(kStart, 2 * kPageSize, Permission::read_write(), file.get()).has_value());
  CHECK(process.write(kStart, 100).has_value());
  CHECK(process.read(kStart + kPageSize).has_value());
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(child.read(kStart) == 100);
  CHECK(child.write(kStart + kPageSize, 101).has_value());
  CHECK(process.read(kStart + kPageSize) == static_cast<std::uint8_t>(MemoryFile::pattern_byte(kPageSize)));
  CHECK(file->read(0) == static_cast<std::uint8_t>(MemoryFile::pattern_byte(0)));
  CHECK(file->read(kPageSize) == static_cast<std::uint8_t>(MemoryFile::pattern_byte(kPageSize)));
}

TEST_CASE_TEMPLATE("heap bounds go along", P, EVERY_PAGER) {
  Process<P> process;
  process.mm.set_heap_start(kStart);
  CHECK(process.mm.brk(kStart + 100) == kStart + 100);
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(child.mm.heap_start() == kStart);
  CHECK(child.mm.heap_end() == kStart + 100);
  CHECK(child.write(kStart + 50, 1).has_value());
}

TEST_CASE_TEMPLATE("fork without memory is OutOfMemory, and the parent works on", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(3 * kPageSize);
  const Va far = va_at(3 * kGigapageSize - kPageSize);
  REQUIRE(process.map(kStart, 3 * kPageSize).has_value());
  REQUIRE(process.map(far, 2 * kPageSize).has_value());
  REQUIRE(process.map(kStart + 3 * kPageSize, 3 * kPageSize, Permission::read(), file.get()).has_value());
  for (Va va : {kStart, far, far + kPageSize}) CHECK(process.write(va, 21).has_value());
  for (std::uint64_t n = 1;; ++n) {
    const std::size_t frames = process.frames(), objects = process.world.objects_used();
    process.world.machine.fail_allocation(n, true);
    auto child = process.mm.fork();
    process.world.machine.fail_allocation(0);
    if (child) {
      CHECK(n > 3);
      break;
    }
    CHECK(child.error() == KernelError::OutOfMemory);
    CHECK(process.frames() <= frames);
    CHECK(process.world.objects_used() <= objects);  // cached pages may have made room
    for (Va va : {kStart, far, far + kPageSize}) {
      CHECK(process.read(va) == 21);
      CHECK(process.write(va, 21).has_value());
    }
    process.world.machine.check_coherence();
  }
}

TEST_SUITE_END();
