// Areas whose pages come from a PageSource, through both pagers.

#include <doctest/doctest.h>

#include <map>
#include <vector>

#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

const Va kStart = va_at(0x1234'5000);
constexpr std::uint64_t kIpa = 0x8000'0000;

/// Answers every request with the pattern of the address asked for, and counts how often it was asked.
class PatternSource final : public PageSource {
 public:
  PatternSource() = default;
  explicit PatternSource(bool& died) : died_(&died) {}
  ~PatternSource() override {
    if (died_ != nullptr) *died_ = true;
  }
  std::expected<void, SourceError> fetch(const PageRequest& request, std::span<std::byte> out) override {
    if (failing) return std::unexpected(SourceError::Short);
    CHECK(request.page_size == kPageSize);
    CHECK(out.size() == kPageSize);
    ++fetched[request.ipa];
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = MemoryFile::pattern_byte(request.ipa + i);
    return {};
  }

  bool failing = false;
  std::map<std::uint64_t, unsigned> fetched;  // by address

 private:
  bool* died_ = nullptr;
};

std::uint64_t pattern(std::uint64_t ipa) { return static_cast<std::uint64_t>(MemoryFile::pattern_byte(ipa)); }

template <class P>
struct Sourced : Process<P> {
  Result<VaRange> map_source(Va start, std::size_t size, std::uint64_t ipa = kIpa,
                             Permission permission = Permission::read_write()) {
    return this->mm.pager().mmap(this->mm.page_table(), start, size, permission, Ref<PageSource>(source),
                                 ipa);
  }
  Ref<PatternSource> source = *make_ref<PatternSource>();
};

}  // namespace

TEST_SUITE_BEGIN("page source");

TEST_CASE_TEMPLATE("a mapping of a page source shows the source's pages from the given address on", P,
                   EVERY_PAGER) {
  Sourced<P> process;
  CHECK(process.map_source(kStart, 3 * kPageSize - 7) == pages_at(kStart, 3));
  for (std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{9}, kPageSize, 3 * kPageSize - 1}) {
    CHECK(process.read(kStart + offset) == pattern(kIpa + offset));
  }
  CHECK(process.read(kStart + 3 * kPageSize).error() == KernelError::NotMapped);
}

TEST_CASE("LazyPager: a page of a source is fetched at its first access, and once") {
  Sourced<LazyPager> process;
  REQUIRE(process.map_source(kStart, 8 * kPageSize).has_value());
  CHECK(process.source->fetched.empty());
  for (int round = 0; round < 3; ++round) CHECK(process.read(kStart + 5 * kPageSize).has_value());
  CHECK(process.write(kStart + 5 * kPageSize, 1).has_value());
  CHECK(process.source->fetched == std::map<std::uint64_t, unsigned>{{kIpa + 5 * kPageSize, 1}});
}

TEST_CASE("EagerPager: all pages of a source are fetched inside mmap, each once") {
  Sourced<EagerPager> process;
  REQUIRE(process.map_source(kStart, 3 * kPageSize).has_value());
  process.source->failing = true;  // nobody may ask again
  for (std::uint64_t i = 0; i < 3; ++i) CHECK(process.write(kStart + i * kPageSize, 1).has_value());
  CHECK(process.source->fetched ==
        std::map<std::uint64_t, unsigned>{{kIpa, 1}, {kIpa + kPageSize, 1}, {kIpa + 2 * kPageSize, 1}});
}

TEST_CASE_TEMPLATE("what is written to a source's page stays, and the source never sees it", P, EVERY_PAGER) {
  Sourced<P> process;
  REQUIRE(process.map_source(kStart, kPageSize).has_value());
  CHECK(process.write(kStart + 3, 99).has_value());
  CHECK(process.read(kStart + 3) == 99);
  CHECK(process.read(kStart + 4) == pattern(kIpa + 4));
  REQUIRE(process.map_source(kStart + kPageSize, kPageSize).has_value());
  CHECK(process.read(kStart + kPageSize + 3) == pattern(kIpa + 3));
}

TEST_CASE_TEMPLATE("pieces of a split source mapping keep their addresses, and so does a moved one", P,
                   EVERY_PAGER) {
  Sourced<P> process;
  auto& mm = process.mm;
  REQUIRE(process.map_source(kStart, 8 * kPageSize).has_value());
  REQUIRE(mm.munmap(pages_at(kStart + 2 * kPageSize, 2)).has_value());
  REQUIRE(mm.protect(pages_at(kStart + 5 * kPageSize, 1), Permission::read()).has_value());
  for (std::uint64_t i : {0, 1, 4, 5, 6, 7}) {
    CHECK(process.read(kStart + i * kPageSize + 1) == pattern(kIpa + i * kPageSize + 1));
  }
  const Va to = kStart + 100 * kPageSize;
  REQUIRE(
      mm.pager().move(mm.page_table(), pages_at(kStart + 6 * kPageSize, 2), to, 4 * kPageSize).has_value());
  for (std::uint64_t i = 0; i < 4; ++i) {
    CHECK(process.read(to + i * kPageSize + 2) == pattern(kIpa + (6 + i) * kPageSize + 2));
  }
}

TEST_CASE_TEMPLATE(
    "a source that fails is InputOutput: of the access, or of an eager mmap, which maps nothing", P,
    EVERY_PAGER) {
  Sourced<P> process;
  process.source->failing = true;
  const std::string before = process.snapshot();
  const auto mapped = process.map_source(kStart, 2 * kPageSize);
  if constexpr (P::kTraits.loads_in_mmap) {
    CHECK(mapped.error() == KernelError::InputOutput);
    CHECK(process.snapshot() == before);
  } else {
    REQUIRE(mapped.has_value());
    CHECK(process.read(kStart).error() == KernelError::InputOutput);
    CHECK(process.resident() == 0);
    CHECK_FALSE(process.page(kStart, Access::Read).has_value());
    process.source->failing = false;
    CHECK(process.read(kStart) == pattern(kIpa));
  }
}

TEST_CASE_TEMPLATE("after fork each side has the source's pages for itself, fetched before or not", P,
                   EVERY_PAGER) {
  Sourced<P> process;
  REQUIRE(process.map_source(kStart, 2 * kPageSize).has_value());
  CHECK(process.write(kStart, 1).has_value());
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(child.read(kStart) == 1);
  CHECK(child.write(kStart, 2).has_value());
  CHECK(child.write(kStart + kPageSize, 3).has_value());
  CHECK(process.read(kStart) == 1);
  CHECK(process.read(kStart + kPageSize) == pattern(kIpa + kPageSize));
  CHECK(child.read(kStart + kPageSize + 1) == pattern(kIpa + kPageSize + 1));
}

TEST_CASE_TEMPLATE("DontNeed on a source's pages fetches them anew", P, EVERY_PAGER) {
  Sourced<P> process;
  REQUIRE(process.map_source(kStart, 2 * kPageSize).has_value());
  CHECK(process.write(kStart, 1).has_value());
  REQUIRE(process.mm.advise(pages_at(kStart, 1), Advice::DontNeed).has_value());
  CHECK(process.read(kStart) == pattern(kIpa));
  CHECK(process.source->fetched[kIpa] == 2);
}

TEST_CASE_TEMPLATE("mmap of a page source refuses what every mmap refuses, and changes nothing", P,
                   EVERY_PAGER) {
  Sourced<P> process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  const std::string before = process.snapshot();
  const auto refused = [&](Va start, std::size_t size, std::uint64_t ipa, KernelError error) {
    CHECK(process.map_source(start, size, ipa).error() == error);
    CHECK(process.snapshot() == before);
  };
  const Va free_place = kStart + 10 * kPageSize;
  refused(va_at(0), kPageSize, kIpa, KernelError::InvalidArgument);
  refused(free_place + 1, kPageSize, kIpa, KernelError::InvalidArgument);
  refused(free_place, 0, kIpa, KernelError::InvalidArgument);
  refused(free_place, SIZE_MAX, kIpa, KernelError::InvalidArgument);
  refused(va_at(kUserEnd), kPageSize, kIpa, KernelError::InvalidArgument);
  refused(free_place, kPageSize, kIpa + 1, KernelError::InvalidArgument);
  refused(free_place, 2 * kPageSize, (std::uint64_t{1} << 63) - kPageSize, KernelError::InvalidArgument);
  refused(kStart, kPageSize, kIpa, KernelError::AlreadyMapped);
  CHECK(process.source->fetched.empty());
}

TEST_CASE_TEMPLATE("a mapping keeps its source alive, and munmap lets it go", P, EVERY_PAGER) {
  Process<P> process;
  bool died = false;
  {
    Ref<PageSource> source = *make_ref<PatternSource>(died);
    REQUIRE(
        process.mm.pager()
            .mmap(process.mm.page_table(), kStart, 2 * kPageSize, Permission::read(), std::move(source), kIpa)
            .has_value());
  }
  REQUIRE(process.mm.munmap(pages_at(kStart, 1)).has_value());
  CHECK_FALSE(died);
  CHECK(process.read(kStart + kPageSize) == pattern(kIpa + kPageSize));
  REQUIRE(process.mm.munmap(pages_at(kStart, 2)).has_value());
  CHECK(died);
}

TEST_CASE_TEMPLATE("every allocation failing in turn in mmap of a source and its first fault", P,
                   EVERY_PAGER) {
  for (std::uint64_t n = 1;; ++n) {
    Sourced<P> process;
    const std::string before = process.snapshot();
    process.world.machine.fail_allocation(n, true);
    const auto mapped = process.map_source(kStart, 2 * kPageSize);
    const auto value = mapped ? process.read(kStart) : failure(mapped.error());
    process.world.machine.fail_allocation(0);
    if (value) {
      CHECK(n > 3);
      break;
    }
    CHECK(value.error() == KernelError::OutOfMemory);
    if (mapped) {
      CHECK(process.read(kStart) == pattern(kIpa));
    } else {
      CHECK(process.snapshot() == before);
    }
  }
}

TEST_SUITE_END();
