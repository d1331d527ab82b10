// Loaders by themselves, and that a kind of memory is added by adding one.

#include "kernel/mm/loader.hpp"

#include <doctest/doctest.h>

#include "test/host/memory_file.hpp"
#include "test/host/world.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

struct PatternSource final : PageSource {
  std::expected<void, SourceError> fetch(const PageRequest& request, std::span<std::byte> out) override {
    if (failing) return std::unexpected(SourceError::Protocol);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = MemoryFile::pattern_byte(request.ipa + i);
    return {};
  }
  bool failing = false;
};

bool holds_pattern(const LoadedPage& page, std::uint64_t offset) {
  for (std::size_t i = 0; i < kPageSize; ++i) {
    if (page.frame.bytes()[i] != MemoryFile::pattern_byte(offset + i)) return false;
  }
  return true;
}

/// A kind of memory that the core does not know.
struct ConstantLoader {
  std::byte value;
  Result<LoadedPage> load(std::uint64_t) const {
    Frame frame = TRY(Frame::allocate(FrameContents::Any));
    std::ranges::fill(frame.bytes(), value);
    return LoadedPage{LoadedPage::Kind::Fresh, std::move(frame)};
  }
};
static_assert(PageLoader<ConstantLoader>);

}  // namespace

TEST_SUITE_BEGIN("loaders");

TEST_CASE("AnonLoader supplies zeroes, and takes no frame for it") {
  World world;
  const Result<LoadedPage> page = load_page(AnonLoader(), 12345);
  REQUIRE(page.has_value());
  CHECK(page->kind == LoadedPage::Kind::Zero);
  CHECK_FALSE(page->frame);
  CHECK(world.frames_used() == 0);
}

TEST_CASE("FileLoader supplies the page cache's own frame, whoever asks") {
  World world;
  const Ref<MemoryFile> file = MemoryFile::with_pattern(3 * kPageSize);
  const AnyLoader loader = FileLoader{Ref<RegularFile>::share(*file)};
  CHECK(file_of(loader) == file.get());
  const Result<LoadedPage> page = load_page(loader, 2);
  REQUIRE(page.has_value());
  CHECK(page->kind == LoadedPage::Kind::Cached);
  CHECK(holds_pattern(*page, 2 * kPageSize));
  CHECK(page->frame.pa() == file->page(2)->pa());
  CHECK(load_page(loader, 2)->frame.pa() == page->frame.pa());
}

TEST_CASE(
    "FileLoader past the end is BeyondEndOfFile, of a device that fails InputOutput, without memory "
    "OutOfMemory") {
  World world;
  const Ref<MemoryFile> file = MemoryFile::with_pattern(3 * kPageSize);
  const AnyLoader loader = FileLoader{Ref<RegularFile>::share(*file)};
  CHECK(load_page(loader, 3).error() == KernelError::BeyondEndOfFile);
  file->fail_reads = true;
  CHECK(load_page(loader, 0).error() == KernelError::InputOutput);
  file->fail_reads = false;
  world.machine.fail_allocation(1, true);
  CHECK(load_page(loader, 0).error() == KernelError::OutOfMemory);
  world.machine.fail_allocation(0);
  CHECK(load_page(loader, 0).has_value());
}

TEST_CASE("PageSourceLoader supplies a frame of its own with what the source has at base + index pages") {
  World world;
  const Ref<PatternSource> source = *make_ref<PatternSource>();
  const AnyLoader loader = PageSourceLoader{Ref<PageSource>(source), 0x8000'0000};
  CHECK(file_of(loader) == nullptr);
  const Result<LoadedPage> page = load_page(loader, 7);
  REQUIRE(page.has_value());
  CHECK(page->kind == LoadedPage::Kind::Fresh);
  CHECK(holds_pattern(*page, 0x8000'0000 + 7 * kPageSize));
  CHECK(load_page(loader, 7)->frame.pa() != page->frame.pa());
}

TEST_CASE(
    "PageSourceLoader of a source that fails is InputOutput, without memory OutOfMemory, and keeps no "
    "frame") {
  World world;
  const Ref<PatternSource> source = *make_ref<PatternSource>();
  const AnyLoader loader = PageSourceLoader{Ref<PageSource>(source), 0};
  source->failing = true;
  CHECK(load_page(loader, 0).error() == KernelError::InputOutput);
  source->failing = false;
  world.machine.fail_allocation(1, true);
  CHECK(load_page(loader, 0).error() == KernelError::OutOfMemory);
  world.machine.fail_allocation(0);
  CHECK(world.frames_used() == 0);
}

TEST_CASE("a type with load(index) is a loader, and one without is not") {
  World world;
  CHECK(ConstantLoader{std::byte{9}}.load(0)->frame.bytes()[kPageSize - 1] == std::byte{9});
  struct NoLoader {};
  CHECK_FALSE(PageLoader<NoLoader>);
}

TEST_SUITE_END();
