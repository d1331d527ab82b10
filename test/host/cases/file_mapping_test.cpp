// Mapped files: tails, private and shared pages, files that shrink and grow under their mapping.

#include <doctest/doctest.h>

#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {
const Va kStart = va_at(0x1234'5000);
std::uint8_t pattern(std::uint64_t offset) {
  return static_cast<std::uint8_t>(MemoryFile::pattern_byte(offset));
}

/// A file of two pages from which another thread cuts the second one just when that has been loaded for
/// somebody.
class FileCutWhileLoading final : public MemoryFile {
 public:
  FileCutWhileLoading() : MemoryFile(std::vector<std::byte>(2 * kPageSize)) {}
  Result<Frame> page(std::uint64_t index) override {
    Result<Frame> loaded = MemoryFile::page(index);
    if (index == 1 && loaded) REQUIRE(truncate(kPageSize).has_value());
    return loaded;
  }
};
}  // namespace

TEST_SUITE_BEGIN("file mappings");

TEST_CASE_TEMPLATE("a mapping shows the file from its offset on", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(5 * kPageSize);
  for (Sharing sharing : {Sharing::Private, Sharing::Shared}) {
    REQUIRE(process.map(kStart, 3 * kPageSize, Permission::read(), file.get(), 2 * kPageSize, sharing)
                .has_value());
    for (std::uint64_t at = 0; at < 3 * kPageSize; at += 257) {
      CHECK(process.read(kStart + at) == pattern(2 * kPageSize + at));
    }
    REQUIRE(process.unmap(kStart).has_value());
  }
}

TEST_CASE_TEMPLATE("the tail of a file's last page reads as zeroes", P, EVERY_PAGER) {
  Process<P> process;
  for (std::uint64_t tail : {std::uint64_t{1}, std::uint64_t{100}, kPageSize - 1}) {
    Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize + tail);
    for (Sharing sharing : {Sharing::Private, Sharing::Shared}) {
      REQUIRE(process.map(kStart, 2 * kPageSize, Permission::read(), file.get(), 0, sharing).has_value());
      CHECK(process.read(kStart + kPageSize + tail - 1) == pattern(kPageSize + tail - 1));
      for (std::uint64_t at = tail; at < kPageSize; ++at) REQUIRE(process.read(kStart + kPageSize + at) == 0);
      REQUIRE(process.unmap(kStart).has_value());
    }
  }
}

TEST_CASE_TEMPLATE("a page wholly past the end of the file is BeyondEndOfFile", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize + 1);
  for (Sharing sharing : {Sharing::Private, Sharing::Shared}) {
    REQUIRE(process.map(kStart, 4 * kPageSize, Permission::read_write(), file.get(), 0, sharing).has_value());
    CHECK(process.read(kStart + kPageSize).has_value());
    CHECK(process.read(kStart + 2 * kPageSize).error() == KernelError::BeyondEndOfFile);
    CHECK(process.write(kStart + 3 * kPageSize, 1).error() == KernelError::BeyondEndOfFile);
    CHECK_FALSE(process.page(kStart + 2 * kPageSize, Access::Read).has_value());
    REQUIRE(process.unmap(kStart).has_value());
  }
}

TEST_CASE("LazyPager: a private page is the page cache's own frame, read-only, until it is written") {
  Process<LazyPager> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  REQUIRE(process.map(kStart, kPageSize, Permission::read_write(), file.get()).has_value());
  CHECK(process.read(kStart).has_value());
  const Pa cached = file->page(0)->pa();
  CHECK(process.mm.walk(kStart)->entry.pa() == cached);
  CHECK_FALSE(process.mm.walk(kStart)->entry.permission().writable());
  REQUIRE(file->write(3, "Q").has_value());
  CHECK(process.read(kStart + 3) == 'Q');
  CHECK(process.write(kStart, 1).has_value());
  CHECK(process.mm.walk(kStart)->entry.pa() != cached);
  CHECK(process.read(kStart + 3) == 'Q');
  CHECK(file->read(0) == pattern(0));
}

TEST_CASE_TEMPLATE("a private write is seen by nobody else", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  const Va other = kStart + 10 * kPageSize;
  REQUIRE(process.map(kStart, kPageSize, Permission::read_write(), file.get()).has_value());
  REQUIRE(process.map(other, kPageSize, Permission::read_write(), file.get()).has_value());
  CHECK(process.write(kStart, 222).has_value());
  CHECK(process.read(other) == pattern(0));
  CHECK(file->read(0) == pattern(0));
  CHECK(process.write(other, 223).has_value());
  CHECK(process.read(kStart) == 222);
  REQUIRE(file->write_back(0, 1).has_value());
  CHECK(file->on_device(0) == pattern(0));
}

TEST_CASE_TEMPLATE(
    "a shared write is seen at once by other mappings, by read, and after write-back by the device", P,
    EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(2 * kPageSize);
  const Va other = kStart + 10 * kPageSize;
  for (Va at : {kStart, other}) {
    REQUIRE(
        process.map(at, 2 * kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared).has_value());
  }
  CHECK(process.read(other + kPageSize).has_value());
  CHECK(process.write(kStart + kPageSize, 66).has_value());
  CHECK(process.read(other + kPageSize) == 66);
  CHECK(file->read(kPageSize) == 66);
  REQUIRE(process.mm.synchronize(pages_at(kStart, 2)).has_value());
  CHECK(file->on_device(kPageSize) == 66);
}

TEST_CASE_TEMPLATE("what is written after a write-back is written back the next time", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  REQUIRE(
      process.map(kStart, kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared).has_value());
  for (std::uint8_t value = 100; value < 105; ++value) {
    CHECK(process.write(kStart, value).has_value());
    REQUIRE(process.mm.synchronize(pages_at(kStart, 1)).has_value());
    CHECK(file->on_device(0) == value);
  }
  const unsigned writes = file->writes;
  REQUIRE(process.mm.synchronize(pages_at(kStart, 1)).has_value());
  CHECK(file->writes == writes);  // nothing was dirty
}

TEST_CASE_TEMPLATE("dirty pages of a shared mapping reach the file after munmap, exit, and protect", P,
                   EVERY_PAGER) {
  for (int way = 0; way < 4; ++way) {
    Process<P> process;
    Ref<MemoryFile> file = MemoryFile::with_pattern(2 * kPageSize);
    REQUIRE(process.map(kStart, 2 * kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared)
                .has_value());
    CHECK(process.write(kStart + kPageSize, 77).has_value());
    switch (way) {
      case 0:
        REQUIRE(process.unmap(kStart).has_value());
        break;
      case 1:
        process.mm.clear();
        break;
      case 2:
        REQUIRE(process.mm.protect(pages_at(kStart, 2), Permission::read()).has_value());
        break;
      default:
        REQUIRE(process.mm.advise(pages_at(kStart, 2), Advice::DontNeed).has_value());
        break;
    }
    REQUIRE(file->write_back(0, 2).has_value());
    CHECK(file->on_device(kPageSize) == 77);
    CHECK(file->on_device(0) == pattern(0));
  }
}

TEST_CASE_TEMPLATE("synchronize reports the device's error, and what is not mapped", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  REQUIRE(
      process.map(kStart, kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared).has_value());
  CHECK(process.write(kStart, 1).has_value());
  file->fail_writes = true;
  CHECK(process.mm.synchronize(pages_at(kStart, 1)).error() == KernelError::InputOutput);
  file->fail_writes = false;
  CHECK(process.mm.synchronize(pages_at(kStart, 2)).error() == KernelError::NotMapped);
  REQUIRE(process.mm.synchronize(pages_at(kStart, 1)).has_value());
  CHECK(file->on_device(0) == 1);
}

TEST_CASE_TEMPLATE("a file that shrinks takes its pages away from every mapping, on every hart", P,
                   EVERY_PAGER) {
  Process<P> process;
  process.world.run(hart_id(1), process.mm.space());
  Ref<MemoryFile> file = MemoryFile::with_pattern(4 * kPageSize);
  const Va shared = kStart + 10 * kPageSize;
  REQUIRE(process.map(kStart, 4 * kPageSize, Permission::read_write(), file.get()).has_value());
  REQUIRE(process.map(shared, 4 * kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared)
              .has_value());
  Child<P> child(process.world, *process.mm.fork(), hart_id(2));
  for (std::uint64_t i = 0; i < 4; ++i) {
    for (Va at : {kStart, shared}) {
      CHECK(process.read(at + i * kPageSize).has_value());
      CHECK(process.read(at + i * kPageSize, hart_id(1)).has_value());
      CHECK(child.read(at + i * kPageSize).has_value());
    }
  }
  CHECK(process.write(kStart + 3 * kPageSize, 1).has_value());  // a private copy goes as well
  REQUIRE(file->truncate(kPageSize + 10).has_value());
  process.world.machine.check_coherence();
  for (Va at : {kStart, shared}) {
    for (std::uint64_t i = 2; i < 4; ++i) {
      CHECK(process.read(at + i * kPageSize).error() == KernelError::BeyondEndOfFile);
      CHECK(process.read(at + i * kPageSize, hart_id(1)).error() == KernelError::BeyondEndOfFile);
      CHECK(child.read(at + i * kPageSize).error() == KernelError::BeyondEndOfFile);
    }
    CHECK(process.read(at) == pattern(0));
    CHECK(process.read(at + kPageSize + 9) == pattern(kPageSize + 9));
  }
  CHECK(process.read(shared + kPageSize + 10) == 0);
  CHECK(process.read(shared + 2 * kPageSize - 1) == 0);
}

TEST_CASE_TEMPLATE("a file that shrinks to whole pages takes exactly the pages behind them away", P,
                   EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(4 * kPageSize);
  REQUIRE(process.map(kStart, 4 * kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared)
              .has_value());
  for (std::uint64_t i = 0; i < 4; ++i) CHECK(process.read(kStart + i * kPageSize).has_value());
  for (std::uint64_t left : {3, 2, 1}) {
    REQUIRE(file->truncate(left * kPageSize).has_value());
    process.world.machine.check_coherence();
    CHECK(process.read(kStart + left * kPageSize).error() == KernelError::BeyondEndOfFile);
    CHECK(process.read(kStart + left * kPageSize - 1) == pattern(left * kPageSize - 1));
  }
}

TEST_CASE_TEMPLATE("a page that truncation takes away while it is loaded for a mapping is not mapped", P,
                   EVERY_PAGER) {
  for (Sharing sharing : {Sharing::Private, Sharing::Shared}) {
    for (Access access : {Access::Read, Access::Write}) {
      Process<P> process;
      const auto file = *make_ref<FileCutWhileLoading>();
      REQUIRE(
          process.map(kStart, 2 * kPageSize, Permission::read_write(), file.get(), 0, sharing).has_value());
      const Va second = kStart + kPageSize;
      CHECK(user_access(process.world, hart_id(0), process.mm, second, access).error() ==
            KernelError::BeyondEndOfFile);
      CHECK_FALSE(process.mm.page_table().walk(second).has_value());
      CHECK(process.read(kStart) == 0);
    }
  }
}

TEST_CASE_TEMPLATE("a file that shrinks and grows again shows zeroes, not what was there", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(3 * kPageSize);
  REQUIRE(process.map(kStart, 3 * kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared)
              .has_value());
  for (std::uint64_t i = 0; i < 3; ++i) CHECK(process.read(kStart + i * kPageSize).has_value());
  REQUIRE(file->truncate(100).has_value());
  REQUIRE(file->write(kPageSize + 5, "new").has_value());
  CHECK(process.read(kStart + 99) == pattern(99));
  CHECK(process.read(kStart + 100) == 0);
  CHECK(process.read(kStart + kPageSize + 4) == 0);
  CHECK(process.read(kStart + kPageSize + 5) == 'n');
  CHECK(process.read(kStart + kPageSize + 8) == 0);
  CHECK(process.read(kStart + 2 * kPageSize).error() == KernelError::BeyondEndOfFile);
}

TEST_CASE_TEMPLATE("a file to be truncated whose last page cannot be read keeps its size", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(2 * kPageSize);
  file->fail_reads = true;
  CHECK(file->truncate(100).error() == KernelError::InputOutput);
  CHECK(file->size() == 2 * kPageSize);
  file->fail_reads = false;
  REQUIRE(file->truncate(100).has_value());
  CHECK(file->size() == 100);
}

TEST_CASE_TEMPLATE("a mapping keeps its file alive", P, EVERY_PAGER) {
  Process<P> process;
  {
    Ref<MemoryFile> file = MemoryFile::with_pattern(2 * kPageSize);
    REQUIRE(process.map(kStart, 2 * kPageSize, Permission::read(), file.get()).has_value());
  }
  CHECK(process.read(kStart + kPageSize) == pattern(kPageSize));
  REQUIRE(process.unmap(kStart).has_value());
  CHECK(process.frames() == 0);
  CHECK(process.world.objects_used() <= 1);  // the Space
}

TEST_CASE("LazyPager: a fault reads the device once, and maps neighbours that are cached already") {
  Process<LazyPager> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(8 * kPageSize);
  for (std::uint64_t i = 0; i < 8; ++i) CHECK(file->read(i * kPageSize).has_value());
  const unsigned reads = file->reads;
  REQUIRE(process.map(kStart, 8 * kPageSize, Permission::read(), file.get()).has_value());
  CHECK(process.read(kStart + 3 * kPageSize) == pattern(3 * kPageSize));
  CHECK(process.resident() > 1);
  for (std::uint64_t i = 0; i < 8; ++i) CHECK(process.read(kStart + i * kPageSize) == pattern(i * kPageSize));
  CHECK(file->reads == reads);
}

TEST_CASE_TEMPLATE("an executable page shows harts the instructions that were read into it", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  const auto before = process.world.machine.instruction_fences();
  REQUIRE(process.map(kStart, kPageSize, Permission::read_execute(), file.get()).has_value());
  CHECK(process.execute(kStart).has_value());
  CHECK(process.world.machine.instruction_fences() > before);
}

TEST_SUITE_END();
