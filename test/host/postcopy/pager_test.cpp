// PostcopyPager by itself: regions, page boundaries, prewarming and counters, over a source that stands in
// memory.

#include <doctest/doctest.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "kernel/mm/postcopy/postcopy_pager.hpp"
#include "test/host/machine/machine.hpp"

using namespace faultline;

namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kBase = 0x8000'0000;

/// The byte that stands at an address of the source.
std::byte byte_at(std::uint64_t ipa) { return static_cast<std::byte>((ipa * 2654435761u) >> 13); }

bool holds_page(std::span<const std::byte> bytes, std::uint64_t ipa) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != byte_at(ipa + i)) return false;
  }
  return true;
}

struct FakeSource : PageSource {
  std::expected<void, SourceError> fetch(const PageRequest& request, std::span<std::byte> out) override {
    fetches.fetch_add(1);
    last_ipa.store(request.ipa);
    last_size.store(request.page_size);
    if (failure) return std::unexpected(*failure);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = byte_at(request.ipa + i);
    return {};
  }
  std::atomic<unsigned> fetches = 0;
  std::atomic<std::uint64_t> last_ipa = 0, last_size = 0;
  std::optional<SourceError> failure;
};

/// A pager with one region of 16 pages at kBase.
struct Fixture {
  explicit Fixture(std::initializer_list<std::uint64_t> prewarm = {}) {
    PagerConfig config;
    for (const std::uint64_t ipa : prewarm) REQUIRE(config.prewarm.push_back(ipa));
    source = make_ref<FakeSource>().value();
    pager = PostcopyPager::create(source, std::move(config)).value();
    REQUIRE(pager->register_region(kBase, 16 * kPage));
  }
  sim::Machine machine;
  Ref<FakeSource> source;
  PagerHandle pager;
  std::vector<std::byte> out = std::vector<std::byte>(2 * kMaxPostcopyPageSize);
};

}  // namespace

TEST_SUITE_BEGIN("postcopy: the pager");

TEST_CASE("a new pager has no regions and all its counters are zero") {
  sim::Machine machine;
  auto pager = PostcopyPager::create(make_ref<FakeSource>().value(), {}).value();
  CHECK_FALSE(pager->contains_ipa(0));
  CHECK_FALSE(pager->contains_ipa(kBase));
  const auto stats = pager->stats();
  CHECK(stats.faults + stats.prewarmed + stats.reinstalls + stats.forwarded + stats.out_of_region +
            stats.source_errors ==
        0);
}

TEST_CASE("the poll interval is one second unless the configuration says otherwise") {
  CHECK(PagerConfig{}.poll_interval == std::chrono::seconds(1));
}

TEST_CASE("register_region makes exactly [base, base + size) the pager's own") {
  Fixture f;
  CHECK_FALSE(f.pager->contains_ipa(kBase - 1));
  CHECK(f.pager->contains_ipa(kBase));
  CHECK(f.pager->contains_ipa(kBase + 16 * kPage - 1));
  CHECK_FALSE(f.pager->contains_ipa(kBase + 16 * kPage));
}

TEST_CASE(
    "register_region accepts a region that ends at the end of the address space and refuses one that wraps") {
  Fixture f;
  CHECK(f.pager->register_region(UINT64_MAX - kPage + 1, kPage));
  CHECK(f.pager->contains_ipa(UINT64_MAX));
  CHECK(f.pager->register_region(UINT64_MAX - 3 * kPage, UINT64_MAX).error() == KernelError::InvalidArgument);
  CHECK(f.pager->register_region(0x1000, 0).error() == KernelError::InvalidArgument);
}

TEST_CASE("register_region refuses a region that overlaps another, whichever way, and changes nothing") {
  Fixture f;
  for (const PostcopyRegion region :
       {PostcopyRegion{kBase, kPage}, PostcopyRegion{kBase - kPage, 2 * kPage},
        PostcopyRegion{kBase + 15 * kPage, 2 * kPage}, PostcopyRegion{kBase - kPage, 32 * kPage}}) {
    CHECK(f.pager->register_region(region.base, region.size).error() == KernelError::AlreadyMapped);
  }
  CHECK_FALSE(f.pager->contains_ipa(kBase - kPage));
  CHECK_FALSE(f.pager->contains_ipa(kBase + 16 * kPage));
  CHECK(f.pager->register_region(kBase + 16 * kPage, kPage));
}

TEST_CASE("of a thousand regions registered in any order each is found and the gaps between are not") {
  Fixture f;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::uint64_t shuffled = i * 619 % 1000;
    REQUIRE(f.pager->register_region(0x10'0000'0000 + shuffled * 2 * kPage, kPage));
  }
  for (std::uint64_t i = 0; i < 1000; ++i) {
    CHECK(f.pager->contains_ipa(0x10'0000'0000 + i * 2 * kPage + 7));
    CHECK_FALSE(f.pager->contains_ipa(0x10'0000'0000 + i * 2 * kPage + kPage));
  }
}

TEST_CASE("serve_fault computes the page boundary and returns that page's bytes") {
  Fixture f;
  const auto bytes = f.pager->serve_fault(kBase + 3 * kPage + 123, kPage, f.out);
  REQUIRE(bytes);
  CHECK(bytes->size() == kPage);
  CHECK(f.source->last_ipa == kBase + 3 * kPage);
  CHECK(f.source->last_size == kPage);
  CHECK(holds_page(*bytes, kBase + 3 * kPage));
  CHECK(f.pager->stats().faults == 1);
}

TEST_CASE("serve_fault serves larger pages by the same rule") {
  Fixture f;
  const auto bytes = f.pager->serve_fault(kBase + 9 * kPage, 8 * kPage, f.out);
  REQUIRE(bytes);
  CHECK(bytes->size() == 8 * kPage);
  CHECK(f.source->last_ipa == kBase + 8 * kPage);
}

TEST_CASE("serve_fault answers OutOfRegion outside every region and does not ask the source") {
  Fixture f;
  CHECK(f.pager->serve_fault(kBase - 1, kPage, f.out).error() == PagerError::out_of_region());
  CHECK(f.pager->serve_fault(kBase + 16 * kPage, kPage, f.out).error() == PagerError::out_of_region());
  CHECK(f.source->fetches == 0);
  CHECK(f.pager->stats().out_of_region == 2);
  CHECK(f.pager->stats().faults == 0);
}

TEST_CASE("serve_fault answers OutOfRegion for a page that only partly lies in a region") {
  Fixture f;
  CHECK(f.pager->serve_fault(kBase + kPage, 32 * kPage, f.out).error() == PagerError::out_of_region());
  REQUIRE(f.pager->register_region(0x1100, kPage));
  CHECK(f.pager->serve_fault(0x1200, kPage, f.out).error() == PagerError::out_of_region());
  CHECK(f.pager->serve_fault(0x2010, kPage, f.out).error() == PagerError::out_of_region());
}

TEST_CASE("serve_fault refuses a page size that is no power of two, is too large, or exceeds the buffer") {
  Fixture f;
  for (const std::uint64_t size :
       {std::uint64_t{0}, kPage + 1, 2 * kMaxPostcopyPageSize, std::uint64_t{1} << 63}) {
    CHECK(f.pager->serve_fault(kBase, size, f.out).error() == PagerError::out_of_region());
  }
  CHECK(f.pager->serve_fault(kBase, kPage, std::span(f.out).first(kPage - 1)).error() ==
        PagerError::out_of_region());
  CHECK(f.source->fetches == 0);
}

TEST_CASE(
    "serve_fault passes on the source's error, counts it, and delivers the page when asked again later") {
  Fixture f;
  for (const SourceError error : {SourceError::Short, SourceError::Open, SourceError::Io,
                                  SourceError::Protocol, SourceError::TimedOut}) {
    f.source->failure = error;
    CHECK(f.pager->serve_fault(kBase, kPage, f.out).error() == PagerError::source(error));
  }
  CHECK(f.pager->stats().source_errors == 5);
  CHECK(f.pager->stats().faults == 0);
  f.source->failure.reset();
  CHECK(holds_page(f.pager->serve_fault(kBase, kPage, f.out).value(), kBase));
}

TEST_CASE("prewarm fetches the configured pages, and their first faults are served without the source") {
  Fixture f({kBase, kBase + 5 * kPage + 9});
  REQUIRE(f.pager->prewarm());
  CHECK(f.pager->stats().prewarmed == 2);
  CHECK(f.pager->stats().faults == 0);
  CHECK(f.source->fetches == 2);
  CHECK(holds_page(f.pager->serve_fault(kBase + 5 * kPage, kPage, f.out).value(), kBase + 5 * kPage));
  CHECK(holds_page(f.pager->serve_fault(kBase, kPage, f.out).value(), kBase));
  CHECK(f.source->fetches == 2);
  CHECK(f.pager->stats().faults == 2);
  REQUIRE(f.pager->serve_fault(kBase, kPage, f.out));
  CHECK(f.source->fetches == 3);
}

TEST_CASE("prewarm does not fetch again what it keeps already") {
  Fixture f({kBase, kBase, kBase + kPage});
  REQUIRE(f.pager->prewarm());
  REQUIRE(f.pager->prewarm());
  CHECK(f.source->fetches == 2);
  CHECK(f.pager->stats().prewarmed == 2);
}

TEST_CASE("prewarm stops at the first page outside every region and keeps the pages before it") {
  Fixture f({kBase, kBase - kPage, kBase + kPage});
  CHECK(f.pager->prewarm().error() == PagerError::out_of_region());
  CHECK(f.pager->stats().prewarmed == 1);
  CHECK(f.source->fetches == 1);
}

TEST_CASE("prewarm returns the source's error and can be tried again") {
  Fixture f({kBase, kBase + kPage});
  f.source->failure = SourceError::Short;
  CHECK(f.pager->prewarm().error() == PagerError::source(SourceError::Short));
  CHECK(f.pager->stats().source_errors == 1);
  f.source->failure.reset();
  CHECK(f.pager->prewarm());
  CHECK(f.pager->stats().prewarmed == 2);
}

TEST_CASE("every allocation failing in turn leaves prewarm and register_region with an error or success") {
  for (std::uint64_t n = 1;; ++n) {
    Fixture f({kBase, kBase + kPage});
    f.machine.fail_allocation(n);
    const auto registered = f.pager->register_region(0x1000, kPage);
    const auto warmed = f.pager->prewarm();
    f.machine.fail_allocation(0);
    if (!registered) CHECK(registered.error() == KernelError::OutOfMemory);
    if (!warmed) CHECK(warmed.error() == PagerError::source(SourceError::Io));
    CHECK(f.pager->contains_ipa(0x1000) == registered.has_value());
    CHECK(f.pager->contains_ipa(kBase));
    CHECK(f.pager->stats().prewarmed <= f.source->fetches);
    CHECK(holds_page(f.pager->serve_fault(kBase + kPage, kPage, f.out).value(), kBase + kPage));
    if (registered && warmed) {
      CHECK(n > 4);
      break;
    }
    REQUIRE(n < 20);
  }
}

TEST_CASE("request_shutdown is seen through every handle") {
  Fixture f;
  const PagerHandle other = f.pager->handle();
  CHECK_FALSE(other->shutdown_requested());
  f.pager->request_shutdown();
  CHECK(other->shutdown_requested());
}

TEST_CASE("a handle keeps the pager and its source alive") {
  Fixture f;
  PagerHandle handle = f.pager->handle();
  f.pager = nullptr;
  CHECK(holds_page(handle->serve_fault(kBase, kPage, f.out).value(), kBase));
}

TEST_CASE("PostcopySource lets a memory area be served from a pager and keeps the kind of error") {
  Fixture f;
  auto source = make_ref<PostcopySource>(f.pager->handle()).value();
  REQUIRE(source->fetch({kBase + kPage, kPage}, f.out));
  CHECK(holds_page(std::span(f.out).first(kPage), kBase + kPage));
  f.source->failure = SourceError::TimedOut;
  CHECK(source->fetch({kBase, kPage}, f.out).error() == SourceError::TimedOut);
  CHECK(source->fetch({0, kPage}, f.out).error() == SourceError::Short);
}

TEST_CASE("threads may serve faults and ask for regions while others register them") {
  Fixture f;
  std::atomic<bool> done = false;
  std::atomic<unsigned> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::byte> out(kPage);
      for (std::uint64_t i = 0; !done.load(); ++i) {
        const std::uint64_t ipa = kBase + (i + t) % 16 * kPage;
        const auto bytes = f.pager->serve_fault(ipa, kPage, out);
        if (!bytes || !holds_page(*bytes, ipa)) wrong.fetch_add(1);
      }
    });
  }
  for (std::uint64_t i = 0; i < 200; ++i) CHECK(f.pager->register_region(0x1000 + i * 2 * kPage, kPage));
  done.store(true);
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_SUITE_END();
