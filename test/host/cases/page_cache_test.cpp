// The page cache and the radix tree under it.

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <random>

#include "kernel/mm/radix_tree.hpp"
#include "kernel/mm/statistics.hpp"
#include "test/host/memory_file.hpp"
#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {
std::uint8_t pattern(std::uint64_t offset) {
  return static_cast<std::uint8_t>(MemoryFile::pattern_byte(offset));
}
}  // namespace

TEST_SUITE_BEGIN("radix tree");

TEST_CASE("words are found at their index, up to the greatest there is") {
  World world;
  RadixTree tree;
  const std::uint64_t indices[] = {0, 1, 63, 64, 4095, 4096, std::uint64_t{1} << 51, UINT64_MAX};
  for (std::uint64_t index : indices) REQUIRE(tree.insert(index, index + 2).has_value());
  for (std::uint64_t index : indices) {
    REQUIRE(tree.find(index) != nullptr);
    CHECK(*tree.find(index) == index + 2);
  }
  CHECK(tree.find(2) == nullptr);
  CHECK(tree.find(UINT64_MAX - 1) == nullptr);
  CHECK(tree.count() == std::size(indices));
  for (std::uint64_t index : indices) CHECK(tree.remove(index) == index + 2);
  CHECK(tree.remove(0) == 0);
  CHECK(world.objects_used() == 0);
}

TEST_CASE("a word that cannot be stored for want of memory leaves the tree as it was") {
  World world;
  RadixTree tree;
  REQUIRE(tree.insert(5, 50).has_value());
  const std::size_t objects = world.objects_used();
  for (std::uint64_t n = 1;; ++n) {
    world.machine.fail_allocation(n);
    const auto result = tree.insert(std::uint64_t{1} << 40, 60);
    world.machine.fail_allocation(0);
    if (result) break;
    CHECK(result.error() == KernelError::OutOfMemory);
    CHECK(*tree.find(5) == 50);
    CHECK(tree.count() == 1);
    CHECK(tree.find(std::uint64_t{1} << 40) == nullptr);
  }
  CHECK(world.objects_used() > objects);
  tree.remove(std::uint64_t{1} << 40);
  tree.remove(5);
  CHECK(world.objects_used() == 0);
}

TEST_CASE("random insertions and removals agree with an ordered map") {
  World world;
  RadixTree tree;
  std::map<std::uint64_t, std::uint64_t> model;
  std::mt19937_64 random(13);
  for (int step = 0; step < 30000; ++step) {
    const std::uint64_t index = random() >> (random() % 4 == 0 ? random() % 64 : 54);
    if (random() % 2 == 0) {
      if (!model.contains(index)) {
        REQUIRE(tree.insert(index, step + 1).has_value());
        model[index] = static_cast<std::uint64_t>(step + 1);
      }
    } else {
      const auto found = model.find(index);
      REQUIRE(tree.remove(index) == (found == model.end() ? 0 : found->second));
      if (found != model.end()) model.erase(found);
    }
    const std::uint64_t from = random() >> (random() % 64);
    const auto item = tree.first_from(from);
    const auto expected = model.lower_bound(from);
    REQUIRE(item.has_value() == (expected != model.end()));
    if (item) {
      REQUIRE(item->index == expected->first);
      REQUIRE(*item->word == expected->second);
    }
    REQUIRE(tree.count() == model.size());
  }
  for (const auto& [index, word] : model) tree.remove(index);
  CHECK(world.objects_used() == 0);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("page cache");

TEST_CASE("a page is read from the device once, and its tail is zero whatever the device has there") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize + 10);
  for (int i = 0; i < 3; ++i) {
    CHECK(file->read(5) == pattern(5));
    CHECK(file->read(kPageSize + 9) == pattern(kPageSize + 9));
  }
  CHECK(file->reads <= 2);
  const Frame frame = *file->page(1);
  for (std::size_t i = 10; i < kPageSize; ++i) REQUIRE(frame.bytes()[i] == std::byte{0});
  CHECK(file->page(2).error() == KernelError::BeyondEndOfFile);
  CHECK(file->page(UINT64_MAX).error() == KernelError::BeyondEndOfFile);
}

TEST_CASE("the tail is zero whichever page is read first") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize + 10);
  const Frame last = *file->page(1);
  for (std::size_t i = 10; i < kPageSize; ++i) REQUIRE(last.bytes()[i] == std::byte{0});
}

TEST_CASE("reading one page after another reads twice as many pages each time, up to 32") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(64 * kPageSize);
  for (std::uint64_t i = 0; i < 64; ++i) CHECK(file->read(i * kPageSize) == pattern(i * kPageSize));
  CHECK(file->reads == 5);  // 4 + 8 + 16 + 32 + the last 4
}

TEST_CASE("reading pages here and there brings few neighbours along") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(256 * kPageSize);
  std::size_t pages = 0;
  for (const std::uint64_t page : {100, 50, 200, 10, 150}) {
    CHECK(file->read(page * kPageSize) == pattern(page * kPageSize));
    CHECK(file->cached_page_count() == (pages += 4));
  }
}

TEST_CASE("a page that cannot be read spoils only itself, also when it is read ahead") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(8 * kPageSize);
  file->unreadable_page = 2;
  for (std::uint64_t i = 0; i < 8; ++i) {
    if (i == 2) {
      CHECK(file->page(i).error() == KernelError::InputOutput);
    } else {
      CHECK(file->read(i * kPageSize) == pattern(i * kPageSize));
    }
  }
}

TEST_CASE(
    "pages that are in memory are found without reading, in any number of nodes, and none past the end") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(80 * kPageSize);
  for (std::uint64_t i = 0; i < 80; ++i) CHECK(file->read(i * kPageSize).has_value());
  // Made for a write that has not moved the end yet.
  CHECK(file->page_for_write(80).has_value());
  const unsigned reads = file->reads;
  std::array<Frame, 32> frames;
  CHECK(file->cached_pages(56, frames) == 24);
  for (std::uint64_t i = 0; i < frames.size(); ++i) {
    CHECK(static_cast<bool>(frames[i]) == (56 + i < 80));
    if (frames[i]) CHECK(frames[i].bytes()[0] == MemoryFile::pattern_byte((56 + i) * kPageSize));
  }
  CHECK(file->reads == reads);
}

TEST_CASE("a page to be overwritten whole is not read, unless a mapping could look at it meanwhile") {
  Process<LazyPager> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(2 * kPageSize);
  CHECK(file->page_for_write(0, true).has_value());
  CHECK(file->reads == 0);
  REQUIRE(process.map(va_at(0x10'0000), 2 * kPageSize, Permission::read(), file.get()).has_value());
  CHECK(file->page_for_write(1, true)->bytes()[5] == MemoryFile::pattern_byte(kPageSize + 5));
}

TEST_CASE("grow never moves the end of a file down") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(100);
  file->grow(10);
  CHECK(file->size() == 100);
  file->grow(101);
  CHECK(file->size() == 101);
}

TEST_CASE(
    "truncation forgets dirty pages beyond the end, and makes the zeroed rest of the last one reach the "
    "device") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(3 * kPageSize);
  REQUIRE(file->write(2 * kPageSize, "dirty").has_value());
  REQUIRE(file->truncate(kPageSize + 7).has_value());
  CHECK(file->has_dirty_pages());
  REQUIRE(file->write_back(0, 3).has_value());
  CHECK_FALSE(file->has_dirty_pages());
  CHECK(file->on_device(kPageSize + 6) == pattern(kPageSize + 6));
  CHECK(file->on_device(kPageSize + 7) == 0);
  REQUIRE(file->write(kPageSize, "dirty").has_value());
  REQUIRE(file->truncate(0).has_value());
  CHECK_FALSE(file->has_dirty_pages());
}

TEST_CASE("a page that cannot be read is an error now, and is tried again the next time") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  file->fail_reads = true;
  CHECK(file->page(0).error() == KernelError::InputOutput);
  CHECK(world.frames_used() == 0);
  file->fail_reads = false;
  CHECK(file->read(0) == pattern(0));
}

TEST_CASE("what is written is read again, and reaches the device by write_back") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(3 * kPageSize);
  REQUIRE(file->write(kPageSize - 2, "abcd").has_value());
  CHECK(file->read(kPageSize - 3) == pattern(kPageSize - 3));
  CHECK(file->read(kPageSize) == 'c');
  CHECK(file->has_dirty_pages());
  CHECK(file->on_device(kPageSize) == pattern(kPageSize));
  REQUIRE(file->write_back(0, 3).has_value());
  CHECK_FALSE(file->has_dirty_pages());
  CHECK(file->on_device(kPageSize) == 'c');
  CHECK(file->on_device(kPageSize - 1) == 'b');
  const unsigned writes = file->writes;
  REQUIRE(file->write_back(0, 3).has_value());
  CHECK(file->writes == writes);
}

TEST_CASE("write_back writes only the pages asked for") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(10 * kPageSize);
  for (std::uint64_t i = 0; i < 10; ++i) REQUIRE(file->write(i * kPageSize, "!").has_value());
  REQUIRE(file->write_back(3, 5).has_value());
  for (std::uint64_t i = 0; i < 10; ++i) {
    CHECK(file->on_device(i * kPageSize) == (i == 3 || i == 4 ? '!' : pattern(i * kPageSize)));
  }
}

TEST_CASE("a page that the device does not take stays dirty") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  REQUIRE(file->write(0, "x").has_value());
  file->fail_writes = true;
  CHECK(file->write_back(0, 1).error() == KernelError::InputOutput);
  CHECK(file->has_dirty_pages());
  file->fail_writes = false;
  REQUIRE(file->write_back(0, 1).has_value());
  CHECK(file->on_device(0) == 'x');
}

TEST_CASE("a write past the end makes the file grow, with zeroes in between") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(10);
  REQUIRE(file->write(3 * kPageSize + 5, "end").has_value());
  CHECK(file->size() == 3 * kPageSize + 8);
  CHECK(file->read(9) == pattern(9));
  CHECK(file->read(10) == 0);
  CHECK(file->read(3 * kPageSize + 4) == 0);
  CHECK(file->read(3 * kPageSize + 7) == 'd');
}

TEST_CASE("what a shared mapping wrote past the end does not appear when truncate makes the file longer") {
  Process<LazyPager> process;
  const Va start = va_at(0x10'0000);
  Ref<MemoryFile> file = MemoryFile::with_pattern(10);
  REQUIRE(
      process.map(start, kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared).has_value());
  REQUIRE(file->truncate(5).has_value());
  CHECK(process.write(start + 7, 98).has_value());
  REQUIRE(file->truncate(100).has_value());
  CHECK(file->read(7) == 0);
}

TEST_CASE("truncation drops pages beyond and zeroes the rest of the last one") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(4 * kPageSize);
  for (std::uint64_t i = 0; i < 4; ++i) CHECK(file->read(i * kPageSize).has_value());
  REQUIRE(file->truncate(kPageSize + 7).has_value());
  CHECK(file->size() == kPageSize + 7);
  CHECK(file->cached_page_count() <= 2);
  CHECK(file->page(2).error() == KernelError::BeyondEndOfFile);
  const Frame frame = *file->page(1);
  CHECK(frame.bytes()[6] == MemoryFile::pattern_byte(kPageSize + 6));
  for (std::size_t i = 7; i < kPageSize; ++i) REQUIRE(frame.bytes()[i] == std::byte{0});
  REQUIRE(file->truncate(0).has_value());
  CHECK(file->cached_page_count() == 0);
}

TEST_CASE("reclaim drops clean pages that nobody uses, and only those") {
  Process<LazyPager> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(6 * kPageSize);
  for (std::uint64_t i = 0; i < 6; ++i) CHECK(file->read(i * kPageSize).has_value());
  const Va start = va_at(0x10'0000);
  REQUIRE(process.map(start, kPageSize, Permission::read(), file.get(), 2 * kPageSize).has_value());
  CHECK(process.read(start) == pattern(2 * kPageSize));
  const Frame used = *file->page(3);
  REQUIRE(file->write(4 * kPageSize, "dirty").has_value());
  std::size_t reclaimed = 0;
  for (int i = 0; i < 4; ++i) reclaimed += PageCache::reclaim(100);
  CHECK(reclaimed == 3);
  CHECK(file->cached_page_count() == 3);
  const unsigned reads = file->reads;
  CHECK(file->read(4 * kPageSize) == 'd');
  CHECK(process.read(start) == pattern(2 * kPageSize));
  CHECK(file->reads == reads);
  CHECK(file->read(0) == pattern(0));
  CHECK(file->reads == reads + 1);
}

TEST_CASE("reclaim spares a page that was used since it came by last, once") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(4 * kPageSize);
  CHECK(file->read(0).has_value());  // the others are read ahead, and nobody has used them
  CHECK(PageCache::reclaim(3) == 3);
  std::array<Frame, 4> frames;
  CHECK(file->cached_pages(0, frames) == 1);
  CHECK(static_cast<bool>(frames[0]));
  frames[0] = Frame();
  CHECK(PageCache::reclaim(1) == 1);
}

TEST_CASE("when memory is short, clean cached pages make room") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(32 * kPageSize);
  for (std::uint64_t i = 0; i < 32; ++i) CHECK(file->read(i * kPageSize).has_value());
  world.machine.limit_frames(world.machine.frames_in_use());
  std::vector<Frame> frames;
  for (int i = 0; i < 10; ++i) {
    auto frame = allocate_or_reclaim(FrameContents::Zeroed);
    REQUIRE(frame.has_value());
    frames.push_back(*std::move(frame));
  }
  world.machine.limit_frames(SIZE_MAX);
}

TEST_CASE("the pages of a file go with it, and the total is kept") {
  World world;
  const std::size_t before = PageCache::total_pages();
  {
    Ref<MemoryFile> file = MemoryFile::with_pattern(5 * kPageSize);
    for (std::uint64_t i = 0; i < 5; ++i) CHECK(file->read(i * kPageSize).has_value());
    CHECK(PageCache::total_pages() == before + 5);
    Ref<MemoryFile> other = MemoryFile::with_pattern(kPageSize);
    CHECK(other->read(0).has_value());
    CHECK(PageCache::total_pages() == before + 6);
  }
  CHECK(PageCache::total_pages() == before);
  CHECK(world.frames_used() == 0);
  CHECK(world.objects_used() == 0);
}

TEST_CASE("several threads that miss the same page wait for one read") {
  World world;
  Ref<MemoryFile> file = MemoryFile::with_pattern(40 * kPageSize);
  auto work = [&] {
    for (std::uint64_t i = 0; i < 40; ++i) CHECK(file->read(i * kPageSize + 1) == pattern(i * kPageSize + 1));
  };
  world.machine.run_in_parallel({work, work, work, work});
  CHECK(file->reads <= 40);
  CHECK(file->cached_page_count() == 40);
}

TEST_CASE("an anonymous file reads as zeroes and keeps what is written") {
  World world;
  Ref<AnonymousFile> file = *make_ref<AnonymousFile>(2 * kPageSize);
  Frame frame = *file->page(1);
  CHECK(frame.bytes()[9] == std::byte{0});
  frame.bytes()[9] = std::byte{3};
  file->mark_dirty(1);
  CHECK(PageCache::reclaim(100) == 0);
  frame = Frame();
  CHECK(file->page(1)->bytes()[9] == std::byte{3});
}

TEST_SUITE_END();
