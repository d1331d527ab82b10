// Flags of areas, limits, and stacks that grow.

#include <doctest/doctest.h>

#include "kernel/mm/page_cache.hpp"
#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {
const Va kStart = va_at(0x1230'0000);

template <class P>
Result<VaRange> map_stack(Process<P>& process, Va start, std::uint64_t pages) {
  return process.mm.mmap(start, pages * kPageSize, Permission::read_write(),
                         {.fixed = true, .area = AreaFlag::GrowsDown});
}
}  // namespace

TEST_SUITE_BEGIN("area flags");

TEST_CASE_TEMPLATE("advice over a hole is followed where something is mapped, then NotMapped", P,
                   EVERY_PAGER) {
  Process<P> process;
  for (std::uint64_t i : {0, 2}) {
    REQUIRE(process.map(kStart + i * kPageSize, kPageSize).has_value());
    CHECK(process.write(kStart + i * kPageSize, 7).has_value());
  }
  CHECK(process.mm.advise(pages_at(kStart, 4), Advice::DontNeed).error() == KernelError::NotMapped);
  for (std::uint64_t i : {0, 2}) CHECK(process.read(kStart + i * kPageSize) == 0);
}

TEST_CASE_TEMPLATE("locked pages are not dropped; what lies below them is", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 3 * kPageSize).has_value());
  for (std::uint64_t i = 0; i < 3; ++i) CHECK(process.write(kStart + i * kPageSize, 7).has_value());
  const VaRange middle = pages_at(kStart + kPageSize, 1);
  REQUIRE(process.mm.lock_pages(middle, kPageSize).has_value());
  CHECK(process.mm.locked_bytes() == kPageSize);
  CHECK(process.mm.lock_pages(pages_at(kStart, 3), 2 * kPageSize).error() == KernelError::OutOfMemory);
  CHECK(process.mm.locked_bytes() == kPageSize);
  for (const Advice advice : {Advice::DontNeed, Advice::Free}) {
    CHECK(process.mm.advise(pages_at(kStart, 3), advice).error() == KernelError::InvalidArgument);
  }
  CHECK(process.read(kStart) == 0);
  CHECK(process.read(kStart + kPageSize) == 7);
  CHECK(process.read(kStart + 2 * kPageSize) == 7);
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(child.mm.locked_bytes() == 0);
  REQUIRE(process.mm.change_flags(middle, {}, AreaFlag::Locked).has_value());
  CHECK(process.mm.advise(pages_at(kStart, 3), Advice::DontNeed).has_value());
  CHECK(process.mm.pager().areas().count() == 1);
}

TEST_CASE_TEMPLATE("fork leaves out what is not to be forked and wipes what is to be wiped", P, EVERY_PAGER) {
  std::uint64_t pages = 4;
  SUBCASE("in a table that fork copies") {}
  SUBCASE("in a table that fork shares") { pages = 64; }
  Process<P> process;
  REQUIRE(process.map(kStart, pages * kPageSize).has_value());
  for (std::uint64_t i = 0; i < pages; ++i) CHECK(process.write(kStart + i * kPageSize, 7).has_value());
  const Va left_out = kStart + kPageSize, wiped = kStart + 2 * kPageSize;
  REQUIRE(process.mm.change_flags(pages_at(left_out, 1), AreaFlag::DontFork, {}).has_value());
  REQUIRE(process.mm.change_flags(pages_at(wiped, 1), AreaFlag::WipeOnFork, {}).has_value());
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(child.read(left_out).error() == KernelError::NotMapped);
  CHECK(child.read(wiped) == 0);
  CHECK(child.write(wiped, 8).has_value());
  CHECK(child.read(kStart) == 7);
  CHECK(child.read(kStart + 3 * kPageSize) == 7);
  CHECK(process.read(left_out) == 7);
  CHECK(process.read(wiped) == 7);
}

TEST_CASE_TEMPLATE("a fault below an area that grows down makes it longer, up to its limit and the gap", P,
                   EVERY_PAGER) {
  Process<P> process;
  const std::uint64_t gap = kStackGuardGap / kPageSize;
  const Va stack = kStart + 3 * gap * kPageSize;
  REQUIRE(map_stack(process, stack, 2).has_value());
  CHECK(process.write(stack - kPageSize, 7).has_value());
  CHECK(process.mm.pager().areas().find(stack)->start() == stack - kPageSize);
  SUBCASE("the limit counts from its end") {
    process.mm.set_limits({.stack = 4 * kPageSize});
    CHECK(process.write(stack - 2 * kPageSize, 7).has_value());
    CHECK(process.write(stack - 3 * kPageSize, 7).error() == KernelError::NotMapped);
  }
  SUBCASE("the gap is kept from what can be used") {
    REQUIRE(process.map(kStart, kPageSize).has_value());
    CHECK(process.write(kStart + gap * kPageSize, 7).error() == KernelError::NotMapped);
    CHECK(process.write(kStart + (gap + 1) * kPageSize, 7).has_value());
    REQUIRE(process.mm.protect(pages_at(kStart, 1), Permission::none()).has_value());
    CHECK(process.write(kStart + kPageSize, 7).has_value());
  }
  SUBCASE("copies grow it as well") {
    CHECK(process.mm.copy_out(stack - 5 * kPageSize, std::uint64_t{5}).has_value());
    CHECK(process.read(stack - 5 * kPageSize) == 5);
  }
  SUBCASE("what is placed without an address keeps the gap") {
    const auto placed = process.mm.mmap(stack - 2 * kPageSize, kPageSize, Permission::read());
    REQUIRE(placed.has_value());
    CHECK((placed->end() <= stack - kPageSize - kStackGuardGap || placed->start() > stack));
  }
  process.world.machine.check_coherence();
}

TEST_CASE_TEMPLATE("a stack that cannot grow for want of memory is as before", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(map_stack(process, kStart, 2).has_value());
  CHECK(process.write(kStart, 7).has_value());
  const std::string before = process.snapshot();
  process.world.machine.fail_allocation(1, true);
  const auto grown = process.write(kStart - 600 * kPageSize, 7);
  process.world.machine.fail_allocation(0);
  CHECK(grown.error() == KernelError::OutOfMemory);
  if (P::kTraits.loads_in_mmap) CHECK(process.snapshot() == before);
  CHECK(process.write(kStart - 600 * kPageSize, 7).has_value());
}

TEST_CASE_TEMPLATE("want of memory in a copy is OutOfMemory; a bad address is BadAddress", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(map_stack(process, kStart, 1).has_value());
  process.world.machine.fail_allocation(1, true);
  const Result<> copied = process.mm.copy_out(kStart - kPageSize, std::uint64_t{1});
  process.world.machine.fail_allocation(0);
  CHECK(copied.error() == KernelError::OutOfMemory);
  CHECK(process.mm.copy_out(kStart + kPageSize, std::uint64_t{1}).error() == KernelError::BadAddress);
  CHECK(process.mm.copy_out(kStart - kPageSize, std::uint64_t{1}).has_value());
}

TEST_CASE_TEMPLATE("limits: what would exceed one is OutOfMemory, and nothing changes", P, EVERY_PAGER) {
  Process<P> process;
  auto& mm = process.mm;
  const auto map = [&](std::uint64_t pages, Permission permission, MapFlags flags = {}) {
    return mm.mmap(Va::checked(0), pages * kPageSize, permission, flags);
  };
  REQUIRE(map(4, Permission::read_write()).has_value());
  SUBCASE("address space") {
    mm.set_limits({.address_space = 8 * kPageSize});
    CHECK(map(5, Permission::none()).error() == KernelError::OutOfMemory);
    CHECK(map(4, Permission::none()).has_value());
    const Va first = mm.pager().areas().first()->start();
    CHECK(mm.mmap(first, 4 * kPageSize, Permission::read(), {.fixed = true}).has_value());  // in its place
  }
  SUBCASE("data: private and writable, however it came to be so") {
    mm.set_limits({.data = 8 * kPageSize});
    CHECK(map(5, Permission::read_write()).error() == KernelError::OutOfMemory);
    const auto readable = map(5, Permission::read());
    REQUIRE(readable.has_value());
    CHECK(mm.protect(*readable, Permission::read_write()).error() == KernelError::OutOfMemory);
    CHECK(mm.protect(pages_at(readable->start(), 4), Permission::read_write()).has_value());
    mm.set_heap_start(kStart);
    CHECK(mm.brk(kStart + kPageSize) == kStart);
  }
  SUBCASE("commitment: what one call asks for, unless it is not reserved") {
    mm.set_limits({.commitment = 8 * kPageSize});
    CHECK(map(9, Permission::read_write()).error() == KernelError::OutOfMemory);
    CHECK(map(9, Permission::read_write(), {.area = AreaFlag::Unreserved}).has_value());
    const auto reserved = map(9, Permission::none());
    REQUIRE(reserved.has_value());
    CHECK(mm.protect(*reserved, Permission::read_write()).error() == KernelError::OutOfMemory);
    CHECK(map(8, Permission::read_write()).has_value());
  }
}

TEST_CASE_TEMPLATE("a file of length zero is mapped where that is asked for, and has pages once it grows", P,
                   EVERY_PAGER) {
  Process<P> process;
  Ref<AnonymousFile> file = *make_ref<AnonymousFile>(0);
  MapFlags flags{.fixed = true, .sharing = Sharing::Shared};
  CHECK(process.mm.mmap(kStart, kPageSize, Permission::read(), flags, file.get()).error() ==
        KernelError::InvalidArgument);
  flags.empty_file = EmptyFile::Mapped;
  REQUIRE(process.mm.mmap(kStart, kPageSize, Permission::read(), flags, file.get()).has_value());
  CHECK(process.read(kStart).error() == KernelError::BeyondEndOfFile);
  file->grow(1);
  CHECK(process.read(kStart) == 0);
}

TEST_SUITE_END();
