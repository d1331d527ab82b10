// mmap and munmap, for both pagers: what they refuse, what they return, what they leave as it was.

#include <doctest/doctest.h>

#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

const Va kStart = va_at(0x1234'5000);
constexpr std::size_t k64GiB = std::size_t{64} << 30;

/// Calls mmap, which must fail with `error` and change nothing.
template <class P>
void check_refused(Process<P>& process, KernelError error, Va start, std::size_t size,
                   Permission permission = Permission::read_write(), RegularFile* file = nullptr,
                   std::uint64_t offset = 0) {
  const std::string before = process.snapshot();
  const auto result = process.map(start, size, permission, file, offset);
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error() == error);
  CHECK(process.snapshot() == before);
}

/// A process that has something mapped already, so that "as before" is more than nothing.
template <class P>
struct Populated : Process<P> {
  Populated() {
    REQUIRE(this->map(kStart, 4 * kPageSize).has_value());
    REQUIRE(this->write(kStart + kPageSize, 1).has_value());
  }
  Ref<MemoryFile> file = MemoryFile::with_pattern(3 * kPageSize);
};

}  // namespace

TEST_SUITE_BEGIN("mmap");

TEST_CASE_TEMPLATE("a new pager maps nothing and allocates nothing", P, EVERY_PAGER) {
  World world;
  const auto allocations = world.machine.allocations();
  P pager;
  CHECK(pager.areas().empty());
  CHECK(world.machine.allocations() == allocations);
  CHECK_FALSE(pager.access_ok(kStart, Access::Read));
}

TEST_CASE_TEMPLATE("mmap returns the mapped range: its start is the address, its size the bytes mapped", P,
                   EVERY_PAGER) {
  Process<P> process;
  CHECK(process.map(kStart, 3 * kPageSize) == pages_at(kStart, 3));
}

TEST_CASE_TEMPLATE("mmap rounds the size up to whole pages", P, EVERY_PAGER) {
  Process<P> process;
  CHECK(process.map(kStart, 1) == pages_at(kStart, 1));
  CHECK(process.map(kStart + 4 * kPageSize, kPageSize + 1) == pages_at(kStart + 4 * kPageSize, 2));
  CHECK(process.read(kStart + (kPageSize - 1)) == 0);
  CHECK_FALSE(process.read(kStart + kPageSize).has_value());
}

TEST_CASE_TEMPLATE("anonymous memory reads as zeroes and keeps what is written", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 3 * kPageSize).has_value());
  for (std::uint64_t offset : {0, 1, 4095, 4096, 8192, 12287}) CHECK(process.read(kStart + offset) == 0);
  CHECK(process.write(kStart + 4095, 17).has_value());
  CHECK(process.write(kStart + 4096, 18).has_value());
  CHECK(process.read(kStart + 4095) == 17);
  CHECK(process.read(kStart + 4096) == 18);
  CHECK(process.read(kStart + 4094) == 0);
  CHECK(process.read(kStart + 8192) == 0);
}

TEST_CASE_TEMPLATE("mmap error: address 0 is InvalidArgument", P, EVERY_PAGER) {
  Populated<P> process;
  check_refused(process, KernelError::InvalidArgument, va_at(0), kPageSize);
}

TEST_CASE_TEMPLATE("mmap error: an unaligned address is InvalidArgument", P, EVERY_PAGER) {
  Populated<P> process;
  for (std::uint64_t offset : {1, 8, 2048, 4095}) {
    check_refused(process, KernelError::InvalidArgument, va_at(0x10'0000 + offset), kPageSize);
  }
}

TEST_CASE_TEMPLATE("mmap error: size 0 is InvalidArgument", P, EVERY_PAGER) {
  Populated<P> process;
  check_refused(process, KernelError::InvalidArgument, va_at(0x10'0000), 0);
}

TEST_CASE_TEMPLATE("mmap error: a size that overflows is InvalidArgument", P, EVERY_PAGER) {
  Populated<P> process;
  for (std::size_t size : {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - kPageSize + 1, SIZE_MAX - kPageSize + 2,
                           SIZE_MAX - 0x10'0000, std::size_t{1} << 63}) {
    check_refused(process, KernelError::InvalidArgument, va_at(0x10'0000), size);
  }
}

TEST_CASE_TEMPLATE("mmap error: a range that leaves the user half is InvalidArgument", P, EVERY_PAGER) {
  Populated<P> process;
  check_refused(process, KernelError::InvalidArgument, va_at(kUserEnd - kPageSize), kPageSize + 1);
  check_refused(process, KernelError::InvalidArgument, va_at(kUserEnd), 1);
  check_refused(process, KernelError::InvalidArgument, va_at(kPageSize), kUserEnd);
  CHECK(process.map(va_at(kUserEnd - kPageSize), kPageSize).has_value());  // the last page itself is fine
  CHECK(process.write(va_at(kUserEnd - 1), 1).has_value());
}

TEST_CASE_TEMPLATE("mmap error: an unaligned offset is InvalidArgument", P, EVERY_PAGER) {
  Populated<P> process;
  for (std::uint64_t offset : {1, 512, 4095, 4097}) {
    check_refused(process, KernelError::InvalidArgument, va_at(0x10'0000), kPageSize, Permission::read(),
                  process.file.get(), offset);
  }
}

TEST_CASE_TEMPLATE("mmap error: an offset whose end overflows is InvalidArgument", P, EVERY_PAGER) {
  Populated<P> process;
  for (std::uint64_t end : {std::uint64_t{0}, std::uint64_t{1} << 63}) {  // 0: 2^64
    check_refused(process, KernelError::InvalidArgument, va_at(0x10'0000), 2 * kPageSize, Permission::read(),
                  process.file.get(), end - kPageSize);
  }
}

TEST_CASE_TEMPLATE(
    "mmap error: writable without readable is refused before mmap, which takes every other permission", P,
    EVERY_PAGER) {
  Populated<P> process;
  const std::string before = process.snapshot();
  for (unsigned rights = 0; rights < 8; ++rights) {
    const bool read = (rights & 1) != 0, write = (rights & 2) != 0, execute = (rights & 4) != 0;
    const std::optional<Permission> permission = Permission::from(read, write, execute);
    CHECK(permission.has_value() == (read || !write));
    if (!permission) {
      CHECK(process.snapshot() == before);
      continue;
    }
    CHECK(process.map(va_at(0x10'0000), kPageSize, *permission).has_value());
    CHECK(process.mm.pager().access_ok(va_at(0x10'0000), Access::Read) == read);
    CHECK(process.mm.pager().access_ok(va_at(0x10'0000), Access::Write) == write);
    CHECK(process.mm.pager().access_ok(va_at(0x10'0000), Access::Execute) == execute);
    REQUIRE(process.unmap(va_at(0x10'0000)).has_value());
  }
}

TEST_CASE_TEMPLATE("mmap error: a file of length zero is InvalidArgument", P, EVERY_PAGER) {
  Populated<P> process;
  Ref<MemoryFile> empty = MemoryFile::with_pattern(0);
  check_refused(process, KernelError::InvalidArgument, va_at(0x10'0000), kPageSize, Permission::read(),
                empty.get());
}

TEST_CASE_TEMPLATE("mmap error: any overlap is AlreadyMapped", P, EVERY_PAGER) {
  Populated<P> process;  // kStart, 4 pages
  const Va before = va_at(kStart.value() - kPageSize);
  check_refused(process, KernelError::AlreadyMapped, kStart, kPageSize);                  // its first page
  check_refused(process, KernelError::AlreadyMapped, kStart + 3 * kPageSize, kPageSize);  // its last page
  check_refused(process, KernelError::AlreadyMapped, kStart + kPageSize, kPageSize);      // inside
  check_refused(process, KernelError::AlreadyMapped, kStart, 4 * kPageSize);              // exactly
  check_refused(process, KernelError::AlreadyMapped, before, kPageSize + 1);              // over its start
  check_refused(process, KernelError::AlreadyMapped, kStart + 3 * kPageSize, 2 * kPageSize);  // over its end
  check_refused(process, KernelError::AlreadyMapped, before, 10 * kPageSize);                 // around it
  CHECK(process.map(before, kPageSize).has_value());
  CHECK(process.map(kStart + 4 * kPageSize, kPageSize).has_value());
}

TEST_CASE_TEMPLATE("mmap error: without memory it is OutOfMemory", P, EVERY_PAGER) {
  Populated<P> process;
  for (std::uint64_t n = 1;; ++n) {
    const std::string before = process.snapshot();
    process.world.machine.fail_allocation(n);
    const auto result = process.map(va_at(kGigapageSize - kPageSize), 4 * kPageSize);
    process.world.machine.fail_allocation(0);
    if (result) {
      CHECK(n > 1);
      break;
    }
    CHECK(result.error() == KernelError::OutOfMemory);
    CHECK(process.snapshot() == before);
  }
}

TEST_CASE("EagerPager: a mapping larger than memory is OutOfMemory and gives everything back") {
  Populated<EagerPager> process;
  process.world.machine.limit_frames(process.world.machine.frames_in_use() + 600);
  check_refused(process, KernelError::OutOfMemory, va_at(0x10'0000), 700 * kPageSize);
  check_refused(process, KernelError::OutOfMemory, va_at(8 * kGigapageSize), k64GiB);
}

TEST_CASE_TEMPLATE(
    "mmap error: a file that cannot be read is an error of the first access, or of an eager mmap", P,
    EVERY_PAGER) {
  Populated<P> process;
  process.file->fail_reads = true;
  if constexpr (P::kTraits.loads_in_mmap) {
    check_refused(process, KernelError::InputOutput, va_at(0x10'0000), kPageSize, Permission::read(),
                  process.file.get());
  } else {
    REQUIRE(process.map(va_at(0x10'0000), kPageSize, Permission::read(), process.file.get()).has_value());
    CHECK(process.read(va_at(0x10'0000)).error() == KernelError::InputOutput);
    process.file->fail_reads = false;
    CHECK(process.read(va_at(0x10'0000)).has_value());
  }
}

TEST_CASE("LazyPager: a mapping of 2^38 bytes less the first page costs nothing until it is touched") {
  Process<LazyPager> process;
  const std::size_t frames = process.frames();
  const Va first = va_at(kPageSize), last = va_at(kUserEnd - 1);
  CHECK(process.map(first, kUserEnd - kPageSize)->size() == kUserEnd - kPageSize);
  CHECK(process.frames() == frames);
  CHECK(process.write(first, 1).has_value());
  CHECK(process.write(last, 2).has_value());
  CHECK(process.read(va_at(kUserEnd / 2)) == 0);
  CHECK(process.read(first) == 1);
  CHECK(process.read(last) == 2);
  CHECK(process.unmap(first) == kUserEnd - kPageSize);
  CHECK(process.frames() == frames);
}

TEST_CASE_TEMPLATE("file offsets near 2^63 map and read", P, EVERY_PAGER) {
  Process<P> process;
  const std::uint64_t offset = (std::uint64_t{1} << 63) - 3 * kPageSize;
  Ref<MemoryFile> file = *make_ref<MemoryFile>(offset + kPageSize + 100);
  REQUIRE(process.map(kStart, 2 * kPageSize, Permission::read(), file.get(), offset).has_value());
  CHECK(process.read(kStart + 5) == static_cast<std::uint8_t>(MemoryFile::pattern_byte(offset + 5)));
  CHECK(process.read(kStart + kPageSize + 99) ==
        static_cast<std::uint8_t>(MemoryFile::pattern_byte(offset + kPageSize + 99)));
  CHECK(process.read(kStart + kPageSize + 100) == 0);
}

TEST_CASE_TEMPLATE("an access that the mapping does not allow is AccessDenied, one outside is NotMapped", P,
                   EVERY_PAGER) {
  Process<P> process;
  const Permission all[] = {Permission::none(),       Permission::read(),
                            Permission::read_write(), Permission::read_execute(),
                            Permission::execute(),    Permission::read_write_execute()};
  Va at = kStart;
  for (Permission permission : all) {
    REQUIRE(process.map(at, kPageSize, permission).has_value());
    auto check = [&](Access access, const Result<std::uint64_t>& result) {
      CHECK(result.has_value() == permission.allows(access));
      if (!result) CHECK(result.error() == KernelError::AccessDenied);
    };
    check(Access::Read, process.read(at));
    check(Access::Write, process.write(at, 1));
    check(Access::Execute, process.execute(at));
    at = at + 2 * kPageSize;
    CHECK(process.read(va_at(at.value() - kPageSize)).error() == KernelError::NotMapped);
  }
  CHECK(process.read(va_at(0)).error() == KernelError::NotMapped);
  CHECK(process.write(va_at(kUserEnd - 1), 1).error() == KernelError::NotMapped);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("munmap");

TEST_CASE_TEMPLATE("munmap of a mapping's start removes it whole and returns its bytes", P, EVERY_PAGER) {
  Process<P> process;
  const std::string before = process.snapshot();
  REQUIRE(process.map(kStart, 5 * kPageSize - 1).has_value());
  for (std::uint64_t i = 0; i < 5; ++i) CHECK(process.write(kStart + i * kPageSize, 1).has_value());
  CHECK(process.unmap(kStart) == 5 * kPageSize);
  CHECK(process.snapshot() == before);
  for (std::uint64_t i = 0; i < 5; ++i) {
    CHECK(process.read(kStart + i * kPageSize).error() == KernelError::NotMapped);
  }
}

TEST_CASE_TEMPLATE("munmap of an address where no mapping starts is NotMapped and changes nothing", P,
                   EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 3 * kPageSize).has_value());
  const std::string before = process.snapshot();
  for (Va va : {kStart + kPageSize, kStart + 3 * kPageSize, va_at(0), va_at(kUserEnd), kStart + 1}) {
    const auto result = process.unmap(va);
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error() == KernelError::NotMapped);
    CHECK(process.snapshot() == before);
  }
}

TEST_CASE_TEMPLATE("munmap of a start leaves the neighbouring mapping alone", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  REQUIRE(process.map(kStart + kPageSize, kPageSize).has_value());
  CHECK(process.write(kStart + kPageSize, 3).has_value());
  CHECK(process.unmap(kStart) == kPageSize);
  CHECK(process.read(kStart + kPageSize) == 3);
  CHECK(process.unmap(kStart + kPageSize) == kPageSize);
}

TEST_CASE_TEMPLATE("munmap of a range splits mappings, passes over holes and returns the bytes removed", P,
                   EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 4 * kPageSize).has_value());
  REQUIRE(process.map(kStart + 6 * kPageSize, 4 * kPageSize).has_value());
  for (std::uint64_t i : {0, 1, 2, 3, 6, 7, 8, 9}) {
    CHECK(process.write(kStart + i * kPageSize, static_cast<std::uint8_t>(i + 1)).has_value());
  }
  auto& mm = process.mm;
  CHECK(mm.pager().munmap(mm.page_table(), pages_at(kStart + kPageSize, 7)) == 5 * kPageSize);
  for (std::uint64_t i = 0; i < 10; ++i) {
    const bool left = i == 0 || i >= 8;
    CHECK(process.read(kStart + i * kPageSize).has_value() == left);
    if (left) CHECK(process.read(kStart + i * kPageSize) == i + 1);
  }
  CHECK(mm.pager().munmap(mm.page_table(), pages_at(kStart, 100)) == 3 * kPageSize);
  CHECK(mm.pager().munmap(mm.page_table(), pages_at(kStart, 100)) == 0);
  CHECK(process.frames() == 0);
}

TEST_CASE_TEMPLATE("a split file mapping keeps its offsets", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(10 * kPageSize);
  REQUIRE(process.map(kStart, 8 * kPageSize, Permission::read(), file.get(), 2 * kPageSize).has_value());
  auto& mm = process.mm;
  REQUIRE(mm.pager().munmap(mm.page_table(), pages_at(kStart + 3 * kPageSize, 2)).has_value());
  for (std::uint64_t i : {0, 2, 5, 7}) {
    CHECK(process.read(kStart + i * kPageSize + 9) ==
          static_cast<std::uint8_t>(MemoryFile::pattern_byte((i + 2) * kPageSize + 9)));
  }
}

TEST_CASE_TEMPLATE("munmap refuses a range that is unaligned or empty, and changes nothing", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  auto& mm = process.mm;
  const std::string before = process.snapshot();
  for (const VaRange range : {VaRange(kStart + 1, kStart + kPageSize), VaRange(kStart, kStart + 100),
                              VaRange(kStart, kStart), VaRange(kStart + 8, kStart + 8)}) {
    CHECK(mm.pager().munmap(mm.page_table(), range).error() == KernelError::InvalidArgument);
    CHECK(process.snapshot() == before);
  }
}

TEST_CASE_TEMPLATE("munmap releases the mapping's file and its frames", P, EVERY_PAGER) {
  Populated<P> process;
  const std::string before = process.snapshot();
  {
    Ref<MemoryFile> file = MemoryFile::with_pattern(3 * kPageSize);
    REQUIRE(process.map(va_at(0x10'0000), 3 * kPageSize, Permission::read_write(), file.get()).has_value());
  }
  for (std::uint64_t i = 0; i < 3; ++i) CHECK(process.write(va_at(0x10'0000 + i * kPageSize), 1).has_value());
  CHECK(process.unmap(va_at(0x10'0000)) == 3 * kPageSize);
  CHECK(process.snapshot() == before);  // the file had no other owner, and its cache went with it
}

TEST_CASE_TEMPLATE("what was unmapped is unreachable on every hart, and mapped again it reads as zeroes", P,
                   EVERY_PAGER) {
  Process<P> process;
  process.world.run(hart_id(1), process.mm.space());
  process.world.run(hart_id(6), process.mm.space());
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  for (unsigned h : {0, 1, 6}) CHECK(process.write(kStart, 5, hart_id(h)).has_value());
  CHECK(process.unmap(kStart).has_value());
  for (unsigned h : {0, 1, 6}) CHECK(process.read(kStart, hart_id(h)).error() == KernelError::NotMapped);
  process.world.machine.check_coherence();
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  for (unsigned h : {0, 1, 6}) CHECK(process.read(kStart, hart_id(h)) == 0);
}

TEST_CASE_TEMPLATE("a process that ran on one hart only never interrupts another", P, EVERY_PAGER) {
  Process<P> process;
  process.world.machine.record_fences(true);
  auto& mm = process.mm;
  for (std::uint64_t i = 0; i < 50; ++i) {
    REQUIRE(process.map(kStart, 20 * kPageSize).has_value());
    for (std::uint64_t j = 0; j < 20; ++j) CHECK(process.write(kStart + j * kPageSize, 1).has_value());
    REQUIRE(mm.protect(pages_at(kStart, 10), Permission::read()).has_value());
    Child<P> child(process.world, *mm.fork(), hart_id(2));
    CHECK(child.read(kStart) == 1);
    CHECK(process.unmap(kStart).has_value());
  }
  for (const FenceRecord& fence : process.world.machine.take_fences()) CHECK(fence.remote.empty());
}

TEST_SUITE_END();
