// protect, advise, move: what system calls need beyond the pager's first interface.

#include <doctest/doctest.h>

#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {
const Va kStart = va_at(0x1234'5000);

template <class P>
Result<> protect(Process<P>& process, VaRange range, Permission permission) {
  return process.mm.pager().protect(process.mm.page_table(), range, permission);
}
}  // namespace

TEST_SUITE_BEGIN("protect");

TEST_CASE_TEMPLATE("protect changes what part of a mapping allows, on every hart, and splits it", P,
                   EVERY_PAGER) {
  Process<P> process;
  process.world.run(hart_id(2), process.mm.space());
  REQUIRE(process.map(kStart, 3 * kPageSize).has_value());
  for (std::uint64_t i = 0; i < 3; ++i) {
    CHECK(process.write(kStart + i * kPageSize, 1).has_value());
    CHECK(process.write(kStart + i * kPageSize, 2, hart_id(2)).has_value());
  }
  REQUIRE(protect(process, pages_at(kStart + kPageSize, 1), Permission::read()).has_value());
  for (unsigned h : {0, 2}) {
    CHECK(process.write(kStart, 3, hart_id(h)).has_value());
    CHECK(process.write(kStart + kPageSize, 3, hart_id(h)).error() == KernelError::AccessDenied);
    CHECK(process.read(kStart + kPageSize, hart_id(h)) == 2);
    CHECK(process.write(kStart + 2 * kPageSize, 3, hart_id(h)).has_value());
  }
  process.world.machine.check_coherence();
}

TEST_CASE_TEMPLATE("protect to nothing and back keeps the contents", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  CHECK(process.write(kStart, 44).has_value());
  REQUIRE(protect(process, pages_at(kStart, 2), Permission::none()).has_value());
  for (Va va : {kStart, kStart + kPageSize}) {
    CHECK(process.read(va).error() == KernelError::AccessDenied);
    CHECK_FALSE(process.page(va, Access::Read).has_value());
  }
  REQUIRE(protect(process, pages_at(kStart, 2), Permission::read()).has_value());
  CHECK(process.read(kStart) == 44);
  CHECK(process.read(kStart + kPageSize) == 0);
  CHECK(process.write(kStart, 1).error() == KernelError::AccessDenied);
}

TEST_CASE_TEMPLATE("protect gives rights to pages touched and untouched", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 2 * kPageSize, Permission::read()).has_value());
  CHECK(process.read(kStart) == 0);
  REQUIRE(protect(process, pages_at(kStart, 2), Permission::read_write_execute()).has_value());
  CHECK(process.write(kStart, 5).has_value());
  CHECK(process.write(kStart + kPageSize, 6).has_value());
  CHECK(process.execute(kStart) == 5);
  CHECK(process.read(kStart) == 5);
  process.world.check_zero_page();
}

TEST_CASE_TEMPLATE("protect of a private file mapping never lets a write reach the file", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  REQUIRE(process.map(kStart, kPageSize, Permission::read(), file.get()).has_value());
  CHECK(process.read(kStart).has_value());
  REQUIRE(protect(process, pages_at(kStart, 1), Permission::read_write()).has_value());
  CHECK(process.write(kStart, 200).has_value());
  CHECK(process.read(kStart) == 200);
  CHECK(file->read(0) == static_cast<std::uint8_t>(MemoryFile::pattern_byte(0)));
}

TEST_CASE_TEMPLATE("protect over a hole is NotMapped and changes nothing; unaligned is InvalidArgument", P,
                   EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  REQUIRE(process.map(kStart + 3 * kPageSize, kPageSize).has_value());
  CHECK(process.write(kStart, 1).has_value());
  const std::string before = process.snapshot();
  CHECK(protect(process, pages_at(kStart, 4), Permission::read()).error() == KernelError::NotMapped);
  CHECK(protect(process, pages_at(kStart + kPageSize, 2), Permission::read()).error() ==
        KernelError::NotMapped);
  CHECK(protect(process, VaRange(kStart + 1, kStart + kPageSize), Permission::read()).error() ==
        KernelError::InvalidArgument);
  CHECK(process.snapshot() == before);
}

TEST_CASE_TEMPLATE("a file mapping split by protect keeps its offsets", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(9 * kPageSize);
  REQUIRE(process.map(kStart, 6 * kPageSize, Permission::read(), file.get(), 3 * kPageSize).has_value());
  REQUIRE(protect(process, pages_at(kStart + 2 * kPageSize, 2), Permission::read_write()).has_value());
  for (std::uint64_t i = 0; i < 6; ++i) {
    CHECK(process.read(kStart + i * kPageSize + 1) ==
          static_cast<std::uint8_t>(MemoryFile::pattern_byte((i + 3) * kPageSize + 1)));
  }
  CHECK(process.unmap(kStart) == 6 * kPageSize);  // all the pieces that one mmap made
}

TEST_CASE_TEMPLATE("a mapping that may not be written refuses protect to writable, and nothing changes", P,
                   EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(4 * kPageSize);
  const MapFlags read_only{.fixed = true, .may_write = false, .sharing = Sharing::Shared};
  REQUIRE(process.map(kStart, kPageSize, Permission::read()).has_value());
  REQUIRE(process.mm.mmap(kStart + kPageSize, 3 * kPageSize, Permission::read(), read_only, file.get())
              .has_value());
  const std::string before = process.snapshot();
  for (const VaRange range : {pages_at(kStart + kPageSize, 3), pages_at(kStart + 2 * kPageSize, 1),
                              pages_at(kStart, 2)}) {  // all of it, a part, and together with a neighbour
    CHECK(process.mm.protect(range, Permission::read_write()).error() == KernelError::AccessDenied);
    CHECK(process.snapshot() == before);
  }
  REQUIRE(process.mm.protect(pages_at(kStart + kPageSize, 3), Permission::none()).has_value());
  REQUIRE(process.mm.protect(pages_at(kStart + kPageSize, 3), Permission::read_execute()).has_value());
  REQUIRE(process.mm.protect(pages_at(kStart, 1), Permission::read_write()).has_value());
}

TEST_CASE_TEMPLATE("the pieces, the moved part and the child's copy of such a mapping refuse as well", P,
                   EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(6 * kPageSize);
  auto& mm = process.mm;
  REQUIRE(process.map(kStart, 6 * kPageSize, Permission::read(), file.get(), 0, Sharing::Shared).has_value());
  mm.pager().forbid_write(pages_at(kStart, 6));
  REQUIRE(mm.munmap(pages_at(kStart + kPageSize, 1)).has_value());
  const Va to = kStart + 50 * kPageSize;
  REQUIRE(
      mm.pager().move(mm.page_table(), pages_at(kStart + 4 * kPageSize, 2), to, 2 * kPageSize).has_value());
  Child<P> child(process.world, *mm.fork(), hart_id(1));
  for (Va va : {kStart, kStart + 2 * kPageSize, to}) {
    CHECK(mm.protect(pages_at(va, 1), Permission::read_write()).error() == KernelError::AccessDenied);
    CHECK(child.mm.protect(pages_at(va, 1), Permission::read_write()).error() == KernelError::AccessDenied);
    CHECK(process.write(va, 1).error() == KernelError::AccessDenied);
  }
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("advise");

TEST_CASE_TEMPLATE("DontNeed: private anonymous memory reads as zeroes again", P, EVERY_PAGER) {
  Process<P> process;
  process.world.run(hart_id(1), process.mm.space());
  REQUIRE(process.map(kStart, 3 * kPageSize).has_value());
  for (std::uint64_t i = 0; i < 3; ++i) {
    CHECK(process.write(kStart + i * kPageSize, 9).has_value());
    CHECK(process.read(kStart + i * kPageSize, hart_id(1)) == 9);
  }
  REQUIRE(process.mm.advise(pages_at(kStart, 2), Advice::DontNeed).has_value());
  for (unsigned h : {0, 1}) {
    CHECK(process.read(kStart, hart_id(h)) == 0);
    CHECK(process.read(kStart + kPageSize, hart_id(h)) == 0);
    CHECK(process.read(kStart + 2 * kPageSize, hart_id(h)) == 9);
  }
  CHECK(process.write(kStart, 1).has_value());
}

TEST_CASE("LazyPager: DontNeed gives the frames back") {
  Process<LazyPager> process;
  REQUIRE(process.map(kStart, 100 * kPageSize).has_value());
  for (std::uint64_t i = 0; i < 100; ++i) CHECK(process.write(kStart + i * kPageSize, 9).has_value());
  REQUIRE(process.mm.advise(pages_at(kStart, 100), Advice::DontNeed).has_value());
  CHECK(process.resident() == 0);
  CHECK(process.frames() <= 2);
}

TEST_CASE_TEMPLATE("DontNeed: a private file mapping reads the file anew", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  REQUIRE(process.map(kStart, kPageSize, Permission::read_write(), file.get()).has_value());
  CHECK(process.write(kStart, 200).has_value());
  REQUIRE(file->write(1, "\x7f").has_value());
  REQUIRE(process.mm.advise(pages_at(kStart, 1), Advice::DontNeed).has_value());
  CHECK(process.read(kStart) == static_cast<std::uint8_t>(MemoryFile::pattern_byte(0)));
  CHECK(process.read(kStart + 1) == 0x7f);
}

TEST_CASE_TEMPLATE("DontNeed: shared memory keeps its contents", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize, Permission::read_write(), nullptr, 0, Sharing::Shared).has_value());
  CHECK(process.write(kStart, 8).has_value());
  REQUIRE(process.mm.advise(pages_at(kStart, 1), Advice::DontNeed).has_value());
  CHECK(process.read(kStart) == 8);
}

TEST_CASE("LazyPager: WillNeed loads what is not loaded yet") {
  Process<LazyPager> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(8 * kPageSize);
  REQUIRE(process.map(kStart, 8 * kPageSize, Permission::read(), file.get()).has_value());
  REQUIRE(process.mm.advise(pages_at(kStart, 8), Advice::WillNeed).has_value());
  const unsigned reads = file->reads;
  for (std::uint64_t i = 0; i < 8; ++i) {
    CHECK(process.read(kStart + i * kPageSize) ==
          static_cast<std::uint8_t>(MemoryFile::pattern_byte(i * kPageSize)));
  }
  CHECK(file->reads == reads);
}

TEST_CASE_TEMPLATE("Populate makes every page present, and no access faults afterwards", P, EVERY_PAGER) {
  Process<P> process;
  process.world.machine.set_gentle(true);
  Ref<MemoryFile> file = MemoryFile::with_pattern(3 * kPageSize);
  const Va shared = kStart + 20 * kPageSize, in_file = kStart + 40 * kPageSize;
  REQUIRE(process.map(kStart, 3 * kPageSize).has_value());
  REQUIRE(
      process.map(shared, 3 * kPageSize, Permission::read_write(), nullptr, 0, Sharing::Shared).has_value());
  REQUIRE(process.map(in_file, 3 * kPageSize, Permission::read_write(), file.get()).has_value());
  for (Va start : {kStart, shared, in_file}) {
    REQUIRE(process.mm.advise(pages_at(start, 3), Advice::Populate).has_value());
  }
  CHECK(process.resident() == 9);
  const std::uint64_t faults = process.mm.fault_count();
  for (std::uint64_t i = 0; i < 3; ++i) {
    CHECK(process.read(kStart + i * kPageSize) == 0);
    CHECK(process.write(kStart + i * kPageSize, 1).has_value());
    CHECK(process.read(shared + i * kPageSize) == 0);
    CHECK(process.write(in_file + i * kPageSize + 1, 1).has_value());
    CHECK(process.read(in_file + i * kPageSize) ==
          static_cast<std::uint8_t>(MemoryFile::pattern_byte(i * kPageSize)));
  }
  CHECK(process.mm.fault_count() == faults);
}

TEST_CASE_TEMPLATE("Populate keeps what is there, gives no rights, and leaves pages outside alone", P,
                   EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 4 * kPageSize, Permission::read_write()).has_value());
  CHECK(process.write(kStart + kPageSize, 7).has_value());
  REQUIRE(process.mm.protect(pages_at(kStart, 4), Permission::read()).has_value());
  const std::size_t resident = process.resident();
  REQUIRE(process.mm.advise(pages_at(kStart + kPageSize, 2), Advice::Populate).has_value());
  const bool were_there = P::kTraits.loads_in_mmap || P::kTraits.may_load_neighbours;
  CHECK(process.resident() == (were_there ? resident : resident + 1));
  CHECK(process.read(kStart + kPageSize) == 7);
  CHECK(process.read(kStart + 2 * kPageSize) == 0);
  CHECK(process.write(kStart + 2 * kPageSize, 1).error() == KernelError::AccessDenied);
}

TEST_CASE_TEMPLATE("Populate of more than memory holds makes what it can, and is no error", P, EVERY_PAGER) {
  Process<P> process;
  constexpr std::uint64_t kPages = 40;
  REQUIRE(process.map(kStart, kPages * kPageSize).has_value());
  process.world.machine.limit_frames(process.world.machine.frames_in_use() + 10);
  CHECK(process.mm.advise(pages_at(kStart, kPages), Advice::Populate).has_value());
  process.world.machine.limit_frames(SIZE_MAX);
  CHECK(process.resident() > 0);
  for (std::uint64_t i = 0; i < kPages; ++i) CHECK(process.read(kStart + i * kPageSize) == 0);
}

TEST_CASE_TEMPLATE("advice about what is not mapped is NotMapped", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  CHECK(process.write(kStart, 1).has_value());
  CHECK(process.mm.advise(pages_at(kStart + kPageSize, 2), Advice::WillNeed).error() ==
        KernelError::NotMapped);
  CHECK(process.mm.advise(pages_at(kStart + kPageSize, 2), Advice::DontNeed).error() ==
        KernelError::NotMapped);
  CHECK(process.mm.advise(pages_at(kStart + kPageSize, 2), Advice::Populate).error() ==
        KernelError::NotMapped);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("move");

TEST_CASE_TEMPLATE("a moved mapping brings its contents along and leaves nothing behind, on any hart", P,
                   EVERY_PAGER) {
  Process<P> process;
  process.world.run(hart_id(4), process.mm.space());
  const Va to = va_at(7 * kGigapageSize - kPageSize);
  REQUIRE(process.map(kStart, 3 * kPageSize).has_value());
  for (std::uint64_t i = 0; i < 2; ++i) {
    CHECK(process.write(kStart + i * kPageSize, static_cast<std::uint8_t>(i + 1)).has_value());
    CHECK(process.read(kStart + i * kPageSize, hart_id(4)) == i + 1);
  }
  CHECK(process.mm.pager().move(process.mm.page_table(), pages_at(kStart, 3), to, 5 * kPageSize) ==
        pages_at(to, 5));
  for (unsigned h : {0, 4}) {
    CHECK(process.read(to, hart_id(h)) == 1);
    CHECK(process.read(to + kPageSize, hart_id(h)) == 2);
    for (std::uint64_t i = 2; i < 5; ++i) CHECK(process.read(to + i * kPageSize, hart_id(h)) == 0);
    for (std::uint64_t i = 0; i < 3; ++i) {
      CHECK(process.read(kStart + i * kPageSize, hart_id(h)).error() == KernelError::NotMapped);
    }
  }
  process.world.machine.check_coherence();
}

TEST_CASE_TEMPLATE("a mapping grows and shrinks in place", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  CHECK(process.write(kStart + kPageSize, 5).has_value());
  auto& mm = process.mm;
  CHECK(mm.pager().move(mm.page_table(), pages_at(kStart, 2), kStart, 4 * kPageSize) == pages_at(kStart, 4));
  CHECK(process.read(kStart + kPageSize) == 5);
  CHECK(process.write(kStart + 3 * kPageSize, 6).has_value());
  CHECK(mm.pager().move(mm.page_table(), pages_at(kStart, 4), kStart, kPageSize) == pages_at(kStart, 1));
  CHECK(process.read(kStart + kPageSize).error() == KernelError::NotMapped);
  CHECK(mm.pager().move(mm.page_table(), pages_at(kStart, 1), kStart, 2 * kPageSize) == pages_at(kStart, 2));
  CHECK(process.read(kStart + kPageSize) == 0);  // what was cut off is gone
}

TEST_CASE_TEMPLATE("growing into another mapping is AlreadyMapped and changes nothing", P, EVERY_PAGER) {
  Process<P> process;
  auto& mm = process.mm;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  REQUIRE(process.map(kStart + 3 * kPageSize, kPageSize).has_value());
  CHECK(process.write(kStart, 1).has_value());
  const std::string before = process.snapshot();
  CHECK(mm.pager().move(mm.page_table(), pages_at(kStart, 2), kStart, 4 * kPageSize).error() ==
        KernelError::AlreadyMapped);
  CHECK(
      mm.pager().move(mm.page_table(), pages_at(kStart, 2), kStart + 2 * kPageSize, 2 * kPageSize).error() ==
      KernelError::AlreadyMapped);
  CHECK(process.snapshot() == before);
}

TEST_CASE_TEMPLATE("part of a file mapping moves with its offset", P, EVERY_PAGER) {
  Process<P> process;
  auto& mm = process.mm;
  Ref<MemoryFile> file = MemoryFile::with_pattern(10 * kPageSize);
  REQUIRE(process.map(kStart, 6 * kPageSize, Permission::read_write(), file.get(), kPageSize).has_value());
  CHECK(process.write(kStart + 2 * kPageSize, 250).has_value());
  const Va to = kStart + 20 * kPageSize;
  REQUIRE(
      mm.pager().move(mm.page_table(), pages_at(kStart + 2 * kPageSize, 2), to, 3 * kPageSize).has_value());
  auto pattern = [](std::uint64_t page) {
    return static_cast<std::uint8_t>(MemoryFile::pattern_byte(page * kPageSize));
  };
  CHECK(process.read(to) == 250);
  CHECK(process.read(to + kPageSize) == pattern(4));
  CHECK(process.read(to + 2 * kPageSize) == pattern(5));
  CHECK(process.read(kStart + kPageSize) == pattern(2));
  CHECK(process.read(kStart + 4 * kPageSize) == pattern(5));
  CHECK(process.read(kStart + 2 * kPageSize).error() == KernelError::NotMapped);
}

TEST_CASE_TEMPLATE("moved pages stay copy-on-write towards a child", P, EVERY_PAGER) {
  Process<P> process;
  auto& mm = process.mm;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  CHECK(process.write(kStart, 1).has_value());
  Child<P> child(process.world, *mm.fork(), hart_id(1));
  const Va to = kStart + 100 * kPageSize;
  REQUIRE(mm.pager().move(mm.page_table(), pages_at(kStart, 1), to, kPageSize).has_value());
  CHECK(process.write(to, 2).has_value());
  CHECK(child.read(kStart) == 1);
  CHECK(child.read(to).error() == KernelError::NotMapped);
}

TEST_SUITE_END();
