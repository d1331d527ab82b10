// EagerPager: everything at mmap, nothing afterwards.

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "kernel/mm/statistics.hpp"
#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {
const Va kStart = va_at(0x1234'5000);
using Eager = Process<EagerPager>;
}  // namespace

TEST_SUITE_BEGIN("EagerPager");

TEST_CASE("EagerPager: every page is allocated, zeroed and mapped inside mmap") {
  Eager process;
  REQUIRE(process.map(kStart, 5 * kPageSize).has_value());
  CHECK(process.resident() == 5);
  for (std::uint64_t i = 0; i < 5; ++i) {
    const auto translation = process.mm.walk(kStart + i * kPageSize);
    REQUIRE(translation.has_value());
    CHECK(translation->entry.permission() == Permission::read_write());
    CHECK(std::ranges::all_of(PageRef::from_pa(translation->entry.pa()).bytes(),
                              [](std::byte b) { return b == std::byte{0}; }));
  }
}

TEST_CASE("EagerPager: after mmap no access that the mapping allows faults, of whatever kind of memory") {
  for (Permission permission : {Permission::read(), Permission::read_write(), Permission::read_execute(),
                                Permission::execute(), Permission::read_write_execute()}) {
    for (Sharing sharing : {Sharing::Private, Sharing::Shared}) {
      for (bool of_file : {false, true}) {
        Eager process;
        Ref<MemoryFile> file = MemoryFile::with_pattern(2 * kPageSize + 1);
        REQUIRE(process.map(kStart, 3 * kPageSize, permission, of_file ? file.get() : nullptr, 0, sharing)
                    .has_value());
        Hart& hart = process.world.machine.hart(hart_id(0));
        for (std::uint64_t i = 0; i < 3; ++i) {
          for (Access access : {Access::Execute, Access::Read, Access::Write}) {
            const auto done =
                hart.access(kStart + i * kPageSize, access, access == Access::Execute ? 2 : 1, 1);
            CHECK(done.has_value() == permission.allows(access));
          }
        }
      }
    }
  }
}

TEST_CASE("EagerPager: a private file mapping is filled from the file, its tail with zeroes, and is a copy") {
  Eager process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize + 10);
  REQUIRE(process.map(kStart, 2 * kPageSize, Permission::read_write(), file.get()).has_value());
  CHECK(process.read(kStart + 5) == static_cast<std::uint8_t>(MemoryFile::pattern_byte(5)));
  CHECK(process.read(kStart + kPageSize + 9) ==
        static_cast<std::uint8_t>(MemoryFile::pattern_byte(kPageSize + 9)));
  for (std::uint64_t i = 10; i < kPageSize; i += 13) CHECK(process.read(kStart + kPageSize + i) == 0);
  REQUIRE(file->write(5, "x").has_value());
  CHECK(process.read(kStart + 5) == static_cast<std::uint8_t>(MemoryFile::pattern_byte(5)));
  CHECK(process.write(kStart + 6, 'y').has_value());
  CHECK(file->read(6) == static_cast<std::uint8_t>(MemoryFile::pattern_byte(6)));
}

TEST_CASE("EagerPager: fork copies every private page at once") {
  Eager process;
  REQUIRE(process.map(kStart, 4 * kPageSize).has_value());
  CHECK(process.write(kStart, 3).has_value());
  const std::size_t frames = process.frames();
  Child<EagerPager> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(process.frames() == 2 * frames + 1);
  CHECK(child.mm.page_table().resident_pages() == 4);
  CHECK(child.mm.walk(kStart)->entry.pa() != process.mm.walk(kStart)->entry.pa());
  Hart& hart = process.world.machine.hart(hart_id(1));
  CHECK(hart.access(kStart, Access::Read, 1) == 3);
  CHECK(hart.access(kStart, Access::Write, 1, 4).has_value());
  CHECK(process.read(kStart) == 3);
  CHECK(process.mm.walk(kStart)->entry.permission() == Permission::read_write());
}

TEST_CASE("EagerPager: a mapping without rights holds no pages until protect gives it one") {
  Eager process;
  REQUIRE(process.map(kStart, 4 * kPageSize, Permission::none()).has_value());
  CHECK(process.resident() == 0);
  REQUIRE(process.mm.protect(pages_at(kStart + kPageSize, 2), Permission::read_write()).has_value());
  CHECK(process.resident() == 2);
  CHECK(process.write(kStart + kPageSize, 1).has_value());
  CHECK(process.read(kStart).error() == KernelError::AccessDenied);
  REQUIRE(process.mm.protect(pages_at(kStart + kPageSize, 2), Permission::none()).has_value());
  CHECK(process.read(kStart + kPageSize).error() == KernelError::AccessDenied);
  REQUIRE(process.mm.protect(pages_at(kStart, 4), Permission::read()).has_value());
  CHECK(process.read(kStart + kPageSize) == 1);
  CHECK(process.read(kStart) == 0);
}

TEST_CASE(
    "EagerPager: a file that cannot be read half-way through mmap is InputOutput and leaves nothing behind") {
  /// Its device gives the first pages only.
  class HalfReadable final : public MemoryFile {
   public:
    HalfReadable() : MemoryFile(std::vector<std::byte>(100 * kPageSize)) {}

   protected:
    Result<> read_pages(std::uint64_t first, std::span<const Pa> frames) override {
      if (first + frames.size() > 50) return failure(KernelError::InputOutput);
      return MemoryFile::read_pages(first, frames);
    }
  };
  Eager process;
  REQUIRE(process.map(va_at(kStart.value() - kPageSize), kPageSize).has_value());
  const std::string before = process.snapshot();
  {
    const auto file = *make_ref<HalfReadable>();
    REQUIRE(process.map(kStart, 40 * kPageSize, Permission::read(), file.get()).has_value());
    REQUIRE(process.unmap(kStart).has_value());
    CHECK(process.map(kStart, 100 * kPageSize, Permission::read(), file.get()).error() ==
          KernelError::InputOutput);
  }
  CHECK(process.snapshot() == before);  // the file has gone, with what was read of it
}

TEST_CASE("EagerPager: a mmap of a file without memory half-way is OutOfMemory and leaves nothing behind") {
  Eager process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(100 * kPageSize);
  const std::string before = process.layout();
  for (std::uint64_t n = 1;; ++n) {
    process.world.machine.fail_allocation(n, true);
    const auto result = process.map(kStart, 100 * kPageSize, Permission::read(), file.get());
    process.world.machine.fail_allocation(0);
    if (result) {
      CHECK(n > 100);
      break;
    }
    CHECK(result.error() == KernelError::OutOfMemory);
    CHECK(process.layout() == before);
  }
}

TEST_SUITE_END();
