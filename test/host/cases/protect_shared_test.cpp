// protect where there is more than one area, and where fork has left last-level tables that two spaces share.

#include <doctest/doctest.h>

#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {
const Va kStart = va_at(0x1230'0000);
/// More than fork copies, and all in one last-level table: fork shares it.
constexpr std::uint64_t kPages = 64;
static_assert(kPages < kEntriesPerTable / 2);

struct Family {
  explicit Family(Permission permission = Permission::read_write(), Sharing sharing = Sharing::Private) {
    REQUIRE(
        process.map(kStart, kPages * kPageSize, Permission::read_write(), nullptr, 0, sharing).has_value());
    for (std::uint64_t i = 0; i < kPages; ++i) REQUIRE(process.write(page(i), 1).has_value());
    if (permission != Permission::read_write()) {
      REQUIRE(process.mm.protect(pages_at(kStart, kPages), permission).has_value());
    }
    child.emplace(process.world, *process.mm.fork(), hart_id(1));
    REQUIRE(process.mm.walk(kStart)->shared);
    REQUIRE(child->mm.walk(kStart)->shared);
  }
  static Va page(std::uint64_t index) { return kStart + index * kPageSize; }

  Process<LazyPager> process;
  std::optional<Child<LazyPager>> child;
};
}  // namespace

TEST_SUITE_BEGIN("protect");

TEST_CASE("LazyPager: protect over a table that fork shared changes the rights of one side only") {
  Family family;
  const VaRange part = pages_at(Family::page(8), 8);
  SUBCASE("the parent's") {
    REQUIRE(family.process.mm.protect(part, Permission::read()).has_value());
    for (std::uint64_t i : {7, 8, 15, 16}) {
      const bool narrowed = i >= 8 && i < 16;
      CHECK(family.process.write(Family::page(i), 2).has_value() != narrowed);
      CHECK(family.child->read(Family::page(i)) == 1);
      CHECK(family.child->write(Family::page(i), 3).has_value());
      CHECK(family.process.read(Family::page(i)) == (narrowed ? 1 : 2));
    }
  }
  SUBCASE("the child's") {
    REQUIRE(family.child->mm.protect(part, Permission::none()).has_value());
    CHECK(family.child->read(Family::page(8)).error() == KernelError::AccessDenied);
    CHECK(family.process.write(Family::page(8), 2).has_value());
    REQUIRE(family.child->mm.protect(part, Permission::read_write()).has_value());
    CHECK(family.child->read(Family::page(8)) == 1);
  }
  family.process.world.machine.check_coherence();
}

TEST_CASE(
    "LazyPager: protect that gives rights over a shared table breaks copy-on-write, it does not end it") {
  Family family(Permission::read());
  REQUIRE(family.process.mm.protect(pages_at(kStart, kPages), Permission::read_write()).has_value());
  CHECK(family.process.write(kStart, 2).has_value());
  CHECK(family.child->read(kStart) == 1);
  CHECK(family.child->write(kStart, 3).error() == KernelError::AccessDenied);
}

TEST_CASE("LazyPager: protect without memory to split a shared table is OutOfMemory, and nothing changes") {
  Family family;
  World& world = family.process.world;
  const std::string before = family.process.snapshot();
  world.machine.fail_allocation(1, true);
  const Result<> changed = family.process.mm.protect(pages_at(Family::page(8), 8), Permission::read());
  world.machine.fail_allocation(0);
  CHECK(changed.error() == KernelError::OutOfMemory);
  CHECK(family.process.snapshot() == before);
  CHECK(family.process.write(Family::page(8), 2).has_value());
}

TEST_CASE(
    "LazyPager: walk sees no write rights to private pages in a shared table, and those to shared memory") {
  SUBCASE("private") {
    Family family;
    for (auto* mm : {&family.process.mm, &family.child->mm}) {
      CHECK_FALSE(mm->walk(kStart)->entry.permission().writable());
      CHECK_FALSE(mm->walk(Family::page(kPages - 1))->entry.permission().writable());
    }
    // Who writes has a table of its own then, and rights to that page alone.
    CHECK(family.process.write(kStart, 2).has_value());
    CHECK(family.process.mm.walk(kStart)->entry.permission().writable());
    CHECK_FALSE(family.process.mm.walk(Family::page(1))->entry.permission().writable());
  }
  SUBCASE("shared") {
    Family family(Permission::read_write(), Sharing::Shared);
    CHECK(family.process.mm.walk(kStart)->entry.permission().writable());
    CHECK(family.child->mm.walk(kStart)->entry.permission().writable());
  }
}

TEST_CASE_TEMPLATE("forbid_write holds for every area of the range, and for none beside it", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(8 * kPageSize);
  for (std::uint64_t i = 0; i < 4; ++i) {
    REQUIRE(process
                .map(kStart + 2 * i * kPageSize, 2 * kPageSize, Permission::read(), file.get(),
                     2 * i * kPageSize, Sharing::Shared)
                .has_value());
  }
  process.mm.pager().forbid_write(pages_at(kStart + 2 * kPageSize, 4));
  for (std::uint64_t i = 0; i < 4; ++i) {
    const VaRange area = pages_at(kStart + 2 * i * kPageSize, 2);
    const Result<> changed = process.mm.protect(area, Permission::read_write());
    const bool forbidden = i == 1 || i == 2;
    CHECK(changed.has_value() != forbidden);
    if (forbidden) CHECK(changed.error() == KernelError::AccessDenied);
  }
}

TEST_CASE_TEMPLATE("pieces of one mapping that differ in what is forbidden are not joined", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(4 * kPageSize);
  REQUIRE(process.map(kStart, 4 * kPageSize, Permission::read(), file.get(), 0, Sharing::Shared).has_value());
  const VaRange lower = pages_at(kStart, 2), upper = pages_at(kStart + 2 * kPageSize, 2);
  // Cut in two by different rights, one half forbidden, and the rights made equal again.
  REQUIRE(process.mm.protect(lower, Permission::none()).has_value());
  bool forbid_upper = true;
  SUBCASE("the upper") {}
  SUBCASE("the lower") { forbid_upper = false; }
  process.mm.pager().forbid_write(forbid_upper ? upper : lower);
  REQUIRE(process.mm.protect(lower, Permission::read()).has_value());
  CHECK(process.mm.protect(forbid_upper ? upper : lower, Permission::read_write()).error() ==
        KernelError::AccessDenied);
  CHECK(process.mm.protect(forbid_upper ? lower : upper, Permission::read_write()).has_value());
}

TEST_SUITE_END();
