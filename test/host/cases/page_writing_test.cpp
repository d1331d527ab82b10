// Pages on their way to and from the device, and what may happen to them there; and memory that is made free
// by writing.

#include <doctest/doctest.h>

#include <functional>

#include "test/host/memory_file.hpp"
#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

const Va kStart = va_at(0x10'0000);

/// A device at which something happens while it works, and a cache at which something happens when a page
/// turns out to be dirty.
class EventfulFile final : public MemoryFile {
 public:
  explicit EventfulFile(std::size_t pages) : MemoryFile(std::vector<std::byte>(pages * kPageSize)) {}
  ~EventfulFile() override { drop_all_pages(); }

  std::function<void()> while_reading, while_writing, before_dirty;

  void mark_dirty(std::uint64_t index) override {
    if (before_dirty) before_dirty();
    MemoryFile::mark_dirty(index);
  }

 protected:
  Result<> read_pages(std::uint64_t first, std::span<const Pa> frames) override {
    if (while_reading) while_reading();
    return MemoryFile::read_pages(first, frames);
  }
  Result<> write_pages(std::uint64_t first, std::span<const Pa> frames) override {
    const Result<> written = MemoryFile::write_pages(first, frames);
    if (while_writing) while_writing();
    return written;
  }
};

Ref<EventfulFile> make_file(std::size_t pages) { return *make_ref<EventfulFile>(pages); }

void reclaim_all() {
  for (int i = 0; i < 3; ++i) (void)PageCache::reclaim(1000);
}

}  // namespace

TEST_SUITE_BEGIN("pages on their way");

TEST_CASE("a page that is written to while the device takes it is dirty afterwards") {
  World world;
  const auto file = make_file(1);
  REQUIRE(file->write(0, "a").has_value());
  file->while_writing = [&] { REQUIRE(file->write(0, "b").has_value()); };
  REQUIRE(file->write_back(0, 1).has_value());
  CHECK(file->on_device(0) == 'a');
  CHECK(file->has_dirty_pages());
  file->while_writing = nullptr;
  REQUIRE(file->write_back(0, 1).has_value());
  CHECK(file->on_device(0) == 'b');
}

TEST_CASE("a page is not dropped while the device takes it") {
  World world;
  const auto file = make_file(1);
  REQUIRE(file->write(0, "a").has_value());
  file->while_writing = [&] {
    reclaim_all();
    CHECK(PageCache::reclaim_by_writing(10) == 0);
    CHECK(file->cached_page_count() == 1);
  };
  REQUIRE(file->write_back(0, 1).has_value());
  reclaim_all();
  CHECK(file->cached_page_count() == 0);
}

TEST_CASE("a page is not handed out while it is still being read") {
  World world;
  const auto file = make_file(8);
  file->while_reading = [&] {
    std::array<Frame, 8> frames;
    CHECK(file->cached_pages(0, frames) == 0);
    reclaim_all();
    CHECK(file->cached_page_count() > 0);
  };
  CHECK(file->read(0) == 0);
}

TEST_CASE_TEMPLATE("a page that munmap finds dirty is not dropped as clean before that is known", P,
                   EVERY_PAGER) {
  constexpr std::size_t kPages = 130;  // more than a batch holds
  Process<P> process;
  const auto file = make_file(kPages);
  REQUIRE(process.map(kStart, kPages * kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared)
              .has_value());
  for (std::size_t i = 0; i < kPages; ++i) CHECK(process.write(kStart + i * kPageSize, 7).has_value());
  // The cache believes them clean, and only the D bits know better.
  REQUIRE(file->write_back(0, kPages).has_value());
  for (std::size_t i = 0; i < kPages; ++i) CHECK(process.write(kStart + i * kPageSize, 8).has_value());
  file->before_dirty = reclaim_all;
  REQUIRE(process.mm.munmap(pages_at(kStart, kPages)).has_value());
  file->before_dirty = nullptr;
  for (std::size_t i = 0; i < kPages; ++i) CHECK(file->read(i * kPageSize) == 8);
}

TEST_CASE_TEMPLATE("dirty pages, mapped or not, are written and make room; none of them is lost", P,
                   EVERY_PAGER) {
  constexpr std::size_t kPages = 200;
  Process<P> process;
  const auto mapped = make_file(kPages), written = make_file(kPages);
  REQUIRE(process.map(kStart, kPages * kPageSize, Permission::read_write(), mapped.get(), 0, Sharing::Shared)
              .has_value());
  for (std::size_t i = 0; i < kPages; ++i) {
    CHECK(process.write(kStart + i * kPageSize, static_cast<std::uint8_t>(i + 1)).has_value());
    REQUIRE(written->write(i * kPageSize, "x").has_value());
  }
  reclaim_all();
  CHECK(mapped->cached_page_count() == kPages);
  CHECK(PageCache::reclaimable_pages() == 2 * kPages);
  CHECK(PageCache::reclaim_by_writing(SIZE_MAX) == 2 * kPages);
  process.world.machine.check_coherence();
  for (std::size_t i = 0; i < kPages; ++i) {
    CHECK(mapped->on_device(i * kPageSize) == static_cast<std::uint8_t>(i + 1));
    CHECK(written->on_device(i * kPageSize) == 'x');
    CHECK(process.read(kStart + i * kPageSize) == static_cast<std::uint8_t>(i + 1));
  }
}

TEST_CASE("a page that somebody holds, to write to it perhaps, is neither called clean nor dropped") {
  Process<LazyPager> process;
  const auto file = make_file(1);
  REQUIRE(
      process.map(kStart, kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared).has_value());
  CHECK(process.write(kStart, 1).has_value());
  REQUIRE(process.mm
              .get_user_page_and(kStart, Access::Write,
                                 [](const UserPage& page) {
                                   CHECK(PageCache::reclaim_by_writing(10) == 0);
                                   page.page.data()[0] = std::byte{2};
                                   return 0;
                                 })
              .has_value());
  CHECK(PageCache::reclaim_by_writing(10) == 1);
  CHECK(file->on_device(0) == 2);
  CHECK(process.read(kStart) == 2);
}

TEST_CASE("a page that the device refuses stays, and stays dirty") {
  Process<LazyPager> process;
  const auto file = make_file(1);
  REQUIRE(
      process.map(kStart, kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared).has_value());
  CHECK(process.write(kStart, 1).has_value());
  file->fail_writes = true;
  CHECK(PageCache::reclaim_by_writing(10) == 0);
  file->fail_writes = false;
  CHECK(process.read(kStart) == 1);
  CHECK(PageCache::reclaim_by_writing(10) == 1);
  CHECK(file->on_device(0) == 1);
}

TEST_CASE("another hart that writes until it is fenced loses nothing") {
  Process<LazyPager> process;
  process.world.run(hart_id(1), process.mm.space());
  const auto file = make_file(1);
  REQUIRE(
      process.map(kStart, kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared).has_value());
  for (std::uint8_t value = 1; value < 5; ++value) {
    CHECK(process.write(kStart, value, hart_id(1)).has_value());
    CHECK(PageCache::reclaim_by_writing(10) == 1);
    CHECK(file->on_device(0) == value);
  }
}

TEST_SUITE_END();
