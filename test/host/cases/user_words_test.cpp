// MmStruct's single words, as futexes use them, and what names a byte of shared memory.

#include <doctest/doctest.h>

#include <vector>

#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {
const Va kStart = va_at(0x1234'5000);
}

TEST_SUITE_BEGIN("words of user memory");

TEST_CASE_TEMPLATE("try_load_word is the aligned word at an address that is in memory", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  REQUIRE(process.mm.copy_out(kStart + 4, std::uint32_t{0xfedc'ba98}).has_value());
  CHECK(process.mm.try_load_word(kStart + 4) == 0xfedc'ba98u);
  CHECK(process.mm.try_load_word(kStart + (kPageSize - 4)) == 0u);
}

TEST_CASE_TEMPLATE("try_load_word is nothing where nothing is mapped, readable or aligned", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  REQUIRE(process.write(kStart, 1).has_value());
  REQUIRE(process.write(kStart + kPageSize, 1).has_value());
  REQUIRE(process.mm.protect(pages_at(kStart + kPageSize, 1), Permission::none()).has_value());
  for (std::uint64_t offset : {1, 2, 3}) CHECK_FALSE(process.mm.try_load_word(kStart + offset).has_value());
  CHECK_FALSE(process.mm.try_load_word(kStart + kPageSize).has_value());
  CHECK_FALSE(process.mm.try_load_word(kStart + 2 * kPageSize).has_value());
  CHECK_FALSE(process.mm.try_load_word(va_at(0)).has_value());
  CHECK_FALSE(process.mm.try_load_word(va_at(kUserEnd)).has_value());
}

TEST_CASE("LazyPager: try_load_word loads no page") {
  Process<LazyPager> process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  const std::string before = process.snapshot();
  CHECK_FALSE(process.mm.try_load_word(kStart).has_value());
  CHECK(process.snapshot() == before);
  CHECK(process.read(kStart) == 0);
  CHECK(process.mm.try_load_word(kStart) == 0u);
}

TEST_CASE_TEMPLATE("try_load_word is nothing while the layout is being changed", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  REQUIRE(process.write(kStart, 1).has_value());
  /// Asks for a word while mmap reads it, which is under the lock that excludes readers.
  struct AskingFile final : PageCache {
    AskingFile(MmStruct<P>& mm, Va va) : PageCache(kPageSize), mm(mm), va(va) {}
    ~AskingFile() override { drop_all_pages(); }
    Result<> read_pages(std::uint64_t, std::span<const Pa> frames) override {
      for (Pa frame : frames) std::memset(platform::frame_bytes(frame), 0, kPageSize);
      seen.push_back(mm.try_load_word(va));
      return {};
    }
    Result<> write_pages(std::uint64_t, std::span<const Pa>) override { return {}; }
    MmStruct<P>& mm;
    Va va;
    std::vector<std::optional<std::uint32_t>> seen;
  };
  const Ref<AskingFile> file = *make_ref<AskingFile>(process.mm, kStart);
  const auto mapped = process.mm.mmap(va_at(0), kPageSize, Permission::read(), {}, file.get());
  REQUIRE(mapped.has_value());
  if constexpr (!P::kTraits.loads_in_mmap) {
    REQUIRE(process.mm.advise(*mapped, Advice::WillNeed).has_value());
  }
  REQUIRE(file->seen.size() == 1);
  CHECK_FALSE(file->seen[0].has_value());
  CHECK(process.mm.try_load_word(kStart) == 1u);
}

TEST_CASE_TEMPLATE("compare_exchange_word stores where the word is the expected one, else tells what it is",
                   P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize).has_value());  // never touched before
  std::uint32_t expected = 0;
  CHECK(process.mm.compare_exchange_word(kStart + 8, expected, 0x0102'0304) == true);
  CHECK(process.read(kStart + 8) == 4);
  CHECK(process.read(kStart + 12) == 0);
  expected = 5;
  CHECK(process.mm.compare_exchange_word(kStart + 8, expected, 7) == false);
  CHECK(expected == 0x0102'0304);
  CHECK(process.read(kStart + 8) == 4);
}

TEST_CASE_TEMPLATE("compare_exchange_word breaks copy-on-write first", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  REQUIRE(process.write(kStart, 1).has_value());
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));
  std::uint32_t expected = 1;
  CHECK(process.mm.compare_exchange_word(kStart, expected, 2) == true);
  CHECK(process.read(kStart) == 2);
  CHECK(child.read(kStart) == 1);
}

TEST_CASE_TEMPLATE("compare_exchange_word: unaligned is InvalidArgument, not writable is BadAddress", P,
                   EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize, Permission::read()).has_value());
  const auto error = [&](Va va) {
    std::uint32_t expected = 0;
    return process.mm.compare_exchange_word(va, expected, 1).error();
  };
  CHECK(error(kStart + 2) == KernelError::InvalidArgument);
  CHECK(error(kStart) == KernelError::BadAddress);
  CHECK(error(kStart + kPageSize) == KernelError::BadAddress);
  CHECK(error(va_at(kUserEnd)) == KernelError::BadAddress);
}

TEST_CASE_TEMPLATE("shared_location is the same file and offset in every space that shares a byte", P,
                   EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(4 * kPageSize);
  const auto map_shared = [&](Va at, RegularFile* of, std::uint64_t offset) {
    REQUIRE(
        process.map(at, 2 * kPageSize, Permission::read_write(), of, offset, Sharing::Shared).has_value());
  };
  const Va again = kStart + 10 * kPageSize, anonymous = kStart + 20 * kPageSize;
  map_shared(kStart, file.get(), kPageSize);
  map_shared(again, file.get(), 2 * kPageSize);
  map_shared(anonymous, nullptr, 0);
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));

  const auto here = process.mm.shared_location(kStart + kPageSize + 12);
  REQUIRE((here.has_value() && here->has_value()));
  CHECK((*here)->file == file.get());
  CHECK((*here)->offset == 2 * kPageSize + 12);
  CHECK((*process.mm.shared_location(again + 12))->offset == (*here)->offset);
  const auto mine = process.mm.shared_location(anonymous + 4),
             others = child.mm.shared_location(anonymous + 4);
  REQUIRE((mine.has_value() && mine->has_value() && others.has_value() && others->has_value()));
  CHECK((*mine)->file == (*others)->file);
  CHECK((*mine)->file != file.get());
  CHECK((*mine)->offset == (*others)->offset);
}

TEST_CASE_TEMPLATE("shared_location of a split or moved mapping still names the byte", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(
      process.map(kStart, 6 * kPageSize, Permission::read_write(), nullptr, 0, Sharing::Shared).has_value());
  const auto before = process.mm.shared_location(kStart + 4 * kPageSize + 8);
  REQUIRE(process.mm.munmap(pages_at(kStart + kPageSize, 1)).has_value());
  const Va to = kStart + 50 * kPageSize;
  REQUIRE(
      process.mm.remap(pages_at(kStart + 4 * kPageSize, 2), 2 * kPageSize, {.may_move = true, .fixed = to})
          .has_value());
  const auto after = process.mm.shared_location(to + 8);
  REQUIRE((before.has_value() && before->has_value() && after.has_value() && after->has_value()));
  CHECK((*after)->file == (*before)->file);
  CHECK((*after)->offset == (*before)->offset);
}

TEST_CASE_TEMPLATE("shared_location is nothing for private memory, and BadAddress for none", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  REQUIRE(process.map(kStart, kPageSize).has_value());
  REQUIRE(process.map(kStart + kPageSize, kPageSize, Permission::read(), file.get()).has_value());
  for (std::uint64_t i : {0, 1}) {
    const auto location = process.mm.shared_location(kStart + i * kPageSize);
    REQUIRE(location.has_value());
    CHECK_FALSE(location->has_value());
  }
  CHECK(process.mm.shared_location(kStart + 2 * kPageSize).error() == KernelError::BadAddress);
  CHECK(process.mm.shared_location(va_at(kUserEnd)).error() == KernelError::BadAddress);
}

TEST_CASE_TEMPLATE("fault_count counts the faults of this space, on every hart, and a child starts anew", P,
                   EVERY_PAGER) {
  Process<P> process;
  process.world.run(hart_id(1), process.mm.space());
  CHECK(process.mm.fault_count() == 0);
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  const auto fault = [&](HartId id, Va va) {
    OnHart here(id);
    return process.mm.handle_page_fault({va, Access::Read}).has_value();
  };
  CHECK(fault(hart_id(0), kStart));
  CHECK(fault(hart_id(1), kStart + kPageSize));
  CHECK(process.mm.fault_count() == 2);
  CHECK_FALSE(fault(hart_id(1), va_at(0)));  // one that fails counts as well
  CHECK(process.mm.fault_count() == 3);
  Child<P> child(process.world, *process.mm.fork(), hart_id(2));
  CHECK(child.mm.fault_count() == 0);
  CHECK(process.mm.fault_count() == 3);
}

TEST_SUITE_END();
