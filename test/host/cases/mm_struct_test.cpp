// MmStruct: where mappings go, what replaces what, the heap, sizes.

#include <doctest/doctest.h>

#include <algorithm>

#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {
const Va kStart = va_at(0x1234'5000);
const Va kNowhere = va_at(0);
}  // namespace

TEST_SUITE_BEGIN("MmStruct");

TEST_CASE_TEMPLATE("a mapping without a wish goes to the highest free place below the stack", P,
                   EVERY_PAGER) {
  Process<P> process;
  const auto first = process.mm.mmap(kNowhere, 3 * kPageSize, Permission::read_write());
  REQUIRE(first.has_value());
  CHECK(first->end().value() <= kUserEnd - kStackGap);
  const auto second = process.mm.mmap(kNowhere, kPageSize, Permission::read_write());
  REQUIRE(second.has_value());
  CHECK(second->end() == first->start());
  REQUIRE(process.mm.munmap(*first).has_value());
  CHECK(process.mm.mmap(kNowhere, 2 * kPageSize, Permission::read())->end() == first->end());
}

TEST_CASE_TEMPLATE("a wish is granted where it is free, and only there", P, EVERY_PAGER) {
  Process<P> process;
  CHECK(process.mm.mmap(kStart, 2 * kPageSize, Permission::read_write())->start() == kStart);
  CHECK(process.write(kStart, 1).has_value());
  const auto other = process.mm.mmap(kStart + kPageSize, kPageSize, Permission::read_write());
  REQUIRE(other.has_value());
  CHECK_FALSE(other->overlaps(pages_at(kStart, 2)));
  CHECK(process.read(kStart) == 1);
}

TEST_CASE_TEMPLATE("a wish in the middle of a page is for that page", P, EVERY_PAGER) {
  Process<P> process;
  CHECK(process.mm.mmap(kStart + 5, kPageSize, Permission::read()) == pages_at(kStart, 1));
}

TEST_CASE_TEMPLATE("a fixed mapping replaces what was there, exactly there", P, EVERY_PAGER) {
  Process<P> process;
  process.world.run(hart_id(1), process.mm.space());
  REQUIRE(process.mm.mmap(kStart, 4 * kPageSize, Permission::read_write(), {.fixed = true}).has_value());
  for (std::uint64_t i = 0; i < 4; ++i) {
    CHECK(process.write(kStart + i * kPageSize, static_cast<std::uint8_t>(i + 1)).has_value());
    CHECK(process.read(kStart + i * kPageSize, hart_id(1)) == i + 1);
  }
  CHECK(process.mm.mmap(kStart + kPageSize, 2 * kPageSize, Permission::read(), {.fixed = true}) ==
        pages_at(kStart + kPageSize, 2));
  for (unsigned h : {0, 1}) {
    CHECK(process.read(kStart, hart_id(h)) == 1);
    CHECK(process.read(kStart + kPageSize, hart_id(h)) == 0);
    CHECK(process.read(kStart + 2 * kPageSize, hart_id(h)) == 0);
    CHECK(process.write(kStart + kPageSize, 1, hart_id(h)).error() == KernelError::AccessDenied);
    CHECK(process.read(kStart + 3 * kPageSize, hart_id(h)) == 4);
  }
}

TEST_CASE_TEMPLATE("a fixed mapping that must not replace is AlreadyMapped where something is", P,
                   EVERY_PAGER) {
  Process<P> process;
  const MapFlags flags{.fixed = true, .no_replace = true};
  CHECK(process.mm.mmap(kStart, 2 * kPageSize, Permission::read_write(), flags).has_value());
  const std::string before = process.snapshot();
  CHECK(process.mm.mmap(kStart + kPageSize, 2 * kPageSize, Permission::read(), flags).error() ==
        KernelError::AlreadyMapped);
  CHECK(process.snapshot() == before);
}

TEST_CASE_TEMPLATE("a fixed mapping that is refused has replaced nothing", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> empty = MemoryFile::with_pattern(0);
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  REQUIRE(process.mm.mmap(kStart, 2 * kPageSize, Permission::read_write(), {.fixed = true}).has_value());
  CHECK(process.write(kStart, 1).has_value());
  const std::string before = process.snapshot();
  auto refused = [&](Va at, std::size_t size, RegularFile* of, std::uint64_t offset) {
    const auto result = process.mm.mmap(at, size, Permission::read(), {.fixed = true}, of, offset);
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error() == (size == SIZE_MAX ? KernelError::OutOfMemory : KernelError::InvalidArgument));
    CHECK(process.snapshot() == before);
  };
  refused(kStart, kPageSize, empty.get(), 0);
  refused(kStart, kPageSize, file.get(), 100);
  refused(kStart, 0, nullptr, 0);
  refused(kStart + 8, kPageSize, nullptr, 0);
  refused(kStart, SIZE_MAX, nullptr, 0);
  CHECK(process.read(kStart) == 1);
}

TEST_CASE_TEMPLATE("no place for a mapping is OutOfMemory", P, EVERY_PAGER) {
  Process<P> process;
  CHECK(process.mm.mmap(kNowhere, kUserEnd, Permission::read()).error() == KernelError::OutOfMemory);
  CHECK(process.mm.mmap(kNowhere, kUserEnd - kStackGap, Permission::none()).error() ==
        KernelError::OutOfMemory);
}

TEST_CASE_TEMPLATE("munmap takes a range whose end is anywhere in a page, but not its start", P,
                   EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 3 * kPageSize).has_value());
  CHECK(process.mm.munmap(VaRange(kStart, kStart + (kPageSize + 1))) == 2 * kPageSize);
  CHECK(process.read(kStart + kPageSize).error() == KernelError::NotMapped);
  CHECK(process.read(kStart + 2 * kPageSize) == 0);
  CHECK(process.mm.munmap(VaRange(kStart + 1, kStart + kPageSize)).error() == KernelError::InvalidArgument);
  CHECK(process.mm.munmap(VaRange(kStart, kStart)).error() == KernelError::InvalidArgument);
  CHECK(process.mm.munmap(pages_at(kStart, 1)) == 0);  // a hole is not an error
}

TEST_CASE_TEMPLATE("the heap grows, shrinks, and is zero where it grows again", P, EVERY_PAGER) {
  Process<P> process;
  process.mm.set_heap_start(kStart);
  CHECK(process.mm.brk(va_at(0)) == kStart);
  CHECK(process.mm.brk(kStart + 10) == kStart + 10);
  CHECK(process.write(kStart, 1).has_value());
  CHECK(process.mm.brk(kStart + 3 * kPageSize) == kStart + 3 * kPageSize);
  CHECK(process.write(kStart + 2 * kPageSize, 2).has_value());
  CHECK(process.mm.brk(kStart + kPageSize) == kStart + kPageSize);
  CHECK(process.read(kStart + 2 * kPageSize).error() == KernelError::NotMapped);
  CHECK(process.read(kStart) == 1);
  CHECK(process.mm.brk(kStart + 3 * kPageSize) == kStart + 3 * kPageSize);
  CHECK(process.read(kStart + 2 * kPageSize) == 0);
  CHECK(process.mm.heap_end() == kStart + 3 * kPageSize);
}

TEST_CASE_TEMPLATE("a heap end that cannot be had leaves the heap as it is", P, EVERY_PAGER) {
  Process<P> process;
  process.mm.set_heap_start(kStart);
  REQUIRE(process.map(kStart + 4 * kPageSize, kPageSize).has_value());
  CHECK(process.mm.brk(kStart + 2 * kPageSize) == kStart + 2 * kPageSize);
  CHECK(process.write(kStart, 1).has_value());
  CHECK(process.mm.brk(kStart + 5 * kPageSize) == kStart + 2 * kPageSize);     // runs into a mapping
  CHECK(process.mm.brk(va_at(kStart.value() - 1)) == kStart + 2 * kPageSize);  // below its start
  CHECK(process.mm.brk(va_at(kUserEnd)) == kStart + 2 * kPageSize);
  CHECK(process.read(kStart) == 1);
  CHECK(process.mm.brk(kStart + 4 * kPageSize) == kStart + 4 * kPageSize);  // right up to it
}

TEST_CASE_TEMPLATE("remap grows in place where there is room, moves where it may, and keeps the contents", P,
                   EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  REQUIRE(process.map(kStart + 4 * kPageSize, kPageSize).has_value());
  CHECK(process.write(kStart, 1).has_value());
  CHECK(process.write(kStart + kPageSize, 2).has_value());
  CHECK(process.mm.remap(pages_at(kStart, 2), 4 * kPageSize, {}) == pages_at(kStart, 4));
  CHECK(process.mm.remap(pages_at(kStart, 4), 5 * kPageSize, {}).error() == KernelError::OutOfMemory);
  const auto moved = process.mm.remap(pages_at(kStart, 4), 5 * kPageSize, {.may_move = true});
  REQUIRE(moved.has_value());
  CHECK(moved->size() == 5 * kPageSize);
  CHECK(process.read(moved->start()) == 1);
  CHECK(process.read(moved->start() + kPageSize) == 2);
  CHECK(process.read(moved->start() + 4 * kPageSize) == 0);
  CHECK(process.read(kStart).error() == KernelError::NotMapped);
  CHECK(process.mm.remap(*moved, kPageSize, {}) == pages_at(moved->start(), 1));
  CHECK(process.read(moved->start() + kPageSize).error() == KernelError::NotMapped);
}

TEST_CASE_TEMPLATE("remap to a fixed place replaces what is there", P, EVERY_PAGER) {
  Process<P> process;
  const Va to = kStart + 50 * kPageSize;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  REQUIRE(process.map(to, 3 * kPageSize).has_value());
  CHECK(process.write(kStart, 1).has_value());
  for (std::uint64_t i = 0; i < 3; ++i) CHECK(process.write(to + i * kPageSize, 9).has_value());
  CHECK(process.mm.remap(pages_at(kStart, 2), 2 * kPageSize, {.may_move = true, .fixed = to}) ==
        pages_at(to, 2));
  CHECK(process.read(to) == 1);
  CHECK(process.read(to + kPageSize) == 0);
  CHECK(process.read(to + 2 * kPageSize) == 9);
}

TEST_CASE_TEMPLATE("remap refuses nonsense: not mapped, more than one area, overlapping, empty, unaligned", P,
                   EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  REQUIRE(process.map(kStart + 2 * kPageSize, kPageSize, Permission::read()).has_value());
  CHECK(process.write(kStart, 1).has_value());
  const std::string before = process.snapshot();
  auto remap = [&](VaRange old_range, std::size_t size, RemapFlags flags) {
    const auto result = process.mm.remap(old_range, size, flags);
    REQUIRE_FALSE(result.has_value());
    CHECK(process.snapshot() == before);
    return result.error();
  };
  const Va free_place = kStart + 50 * kPageSize;
  CHECK(remap(pages_at(free_place, 1), 2 * kPageSize, {.may_move = true}) == KernelError::BadAddress);
  CHECK(remap(pages_at(kStart, 3), 4 * kPageSize, {.may_move = true}) == KernelError::BadAddress);
  CHECK(remap(pages_at(kStart, 2), 0, {.may_move = true}) == KernelError::InvalidArgument);
  CHECK(remap(pages_at(kStart, 2), 2 * kPageSize, {.may_move = true, .fixed = kStart + kPageSize}) ==
        KernelError::InvalidArgument);
  CHECK(remap(pages_at(kStart, 2), 2 * kPageSize, {.may_move = true, .fixed = free_place + 1}) ==
        KernelError::InvalidArgument);
  CHECK(remap(VaRange(kStart + 1, kStart + kPageSize), kPageSize, {}) == KernelError::InvalidArgument);
  CHECK(remap(pages_at(kStart, 2), SIZE_MAX, {.may_move = true}) == KernelError::InvalidArgument);
  CHECK(remap(pages_at(kStart, 2), kUserEnd, {.may_move = true}) == KernelError::OutOfMemory);
  CHECK(remap(pages_at(kStart, 2), kUserEnd + kPageSize, {.may_move = true}) == KernelError::OutOfMemory);
}

TEST_CASE_TEMPLATE(
    "protect, advise and synchronize take a range whose end is anywhere in a page, but not its start", P,
    EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(2 * kPageSize);
  REQUIRE(process.map(kStart, 2 * kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared)
              .has_value());
  auto& mm = process.mm;
  const std::string before = process.snapshot();
  for (const VaRange bad :
       {VaRange(kStart + 1, kStart + kPageSize), VaRange(kStart, kStart), VaRange(kStart + 8, kStart + 8)}) {
    CHECK(mm.protect(bad, Permission::read()).error() == KernelError::InvalidArgument);
    CHECK(mm.advise(bad, Advice::DontNeed).error() == KernelError::InvalidArgument);
    CHECK(mm.synchronize(bad).error() == KernelError::InvalidArgument);
    CHECK(process.snapshot() == before);
  }
  const VaRange both(kStart, kStart + (kPageSize + 1));
  CHECK(process.write(kStart + kPageSize, 7).has_value());
  REQUIRE(mm.synchronize(both).has_value());
  CHECK(file->on_device(kPageSize) == 7);
  REQUIRE(mm.advise(both, Advice::Populate).has_value());
  CHECK(process.resident() == 2);
  REQUIRE(mm.protect(both, Permission::read()).has_value());
  CHECK(process.write(kStart + kPageSize, 8).error() == KernelError::AccessDenied);
}

TEST_CASE_TEMPLATE("clear removes every mapping, and the space can be used anew", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  process.mm.set_heap_start(kStart);
  CHECK(process.mm.brk(kStart + kPageSize) == kStart + kPageSize);
  REQUIRE(process.map(kStart + 2 * kPageSize, kPageSize, Permission::read(), file.get()).has_value());
  CHECK(process.write(kStart, 1).has_value());
  process.mm.clear();
  CHECK(process.read(kStart).error() == KernelError::NotMapped);
  CHECK(process.mm.pager().areas().empty());
  CHECK(process.resident() == 0);
  REQUIRE(process.map(kStart, kPageSize).has_value());
  CHECK(process.read(kStart) == 0);
}

TEST_CASE_TEMPLATE("for_each_area lists areas from the lowest up", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  REQUIRE(process.map(kStart + 4 * kPageSize, kPageSize, Permission::read(), file.get()).has_value());
  REQUIRE(process.map(kStart, kPageSize).has_value());
  std::vector<Va> starts;
  process.mm.for_each_area([&](const VmArea& area) { starts.push_back(area.start()); });
  CHECK(starts == std::vector{kStart, kStart + 4 * kPageSize});
}

TEST_CASE_TEMPLATE("usage counts virtual, resident and shared pages", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(2 * kPageSize);
  REQUIRE(process.map(kStart, 5 * kPageSize).has_value());
  REQUIRE(
      process.map(kStart + 8 * kPageSize, 2 * kPageSize, Permission::read(), file.get(), 0, Sharing::Shared)
          .has_value());
  for (std::uint64_t i = 0; i < 2; ++i) {
    CHECK(process.write(kStart + i * kPageSize, 1).has_value());
    CHECK(process.read(kStart + (8 + i) * kPageSize).has_value());
  }
  const MemoryUsage usage = process.mm.usage();
  CHECK(usage.virtual_pages == 7);
  if (P::kTraits.may_load_neighbours) {
    CHECK((usage.resident_pages >= 4 && usage.resident_pages <= 7));
  } else {
    CHECK(usage.resident_pages == (P::kTraits.loads_in_mmap ? 7 : 4));
  }
  CHECK(usage.shared_pages == 2);
  CHECK(process.mm.usage(pages_at(kStart, 2)).resident_pages == 2);
}

TEST_CASE("LazyPager: a page that was only read, the zero page, counts as shared") {
  Process<LazyPager> process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  CHECK(process.read(kStart) == 0);
  CHECK(process.write(kStart + kPageSize, 1).has_value());
  CHECK(process.mm.usage().resident_pages == 2);
  CHECK(process.mm.usage().shared_pages == 1);
}

TEST_CASE("a counter is the sum over all harts") {
  World world;
  const std::uint64_t before = counter_total(Counter::PageFault);
  for (unsigned hart = 0; hart < kMaxHarts; ++hart) {
    OnHart here(hart_id(hart));
    count(Counter::PageFault, hart + 1);
  }
  CHECK(counter_total(Counter::PageFault) - before == kMaxHarts * (kMaxHarts + 1) / 2);
}

TEST_CASE_TEMPLATE("walk shows what the page table says, also through a table that fork shared", P,
                   EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  CHECK(process.write(kStart, 1).has_value());
  const Pa pa = process.mm.walk(kStart)->entry.pa();
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(process.mm.walk(kStart)->entry.pa() == pa);
  CHECK(child.mm.walk(kStart).has_value());
  CHECK(child.mm.walk(kStart)->entry.has_page());
  CHECK_FALSE(child.mm.walk(kStart + kPageSize).has_value());
}

TEST_CASE_TEMPLATE("glibc's habits stay cheap: thousands of maps and unmaps leave few areas and no frames", P,
                   EVERY_PAGER) {
  Process<P> process;
  std::vector<VaRange> ranges;
  for (int i = 0; i < 4000; ++i) {
    ranges.push_back(
        *process.mm.mmap(kNowhere, kPageSize, i % 2 == 0 ? Permission::read() : Permission::read_write()));
    for (const VaRange& other : {ranges.front(), ranges[ranges.size() / 2]}) {
      if (other != ranges.back()) REQUIRE_FALSE(other.overlaps(ranges.back()));
    }
  }
  for (const VaRange& range : ranges) REQUIRE(process.mm.munmap(range) == kPageSize);
  CHECK(process.mm.pager().areas().empty());
  CHECK(process.frames() == 0);
}

TEST_SUITE_END();
