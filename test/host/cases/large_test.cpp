// Many areas, and areas as large as can be.

#include <doctest/doctest.h>

#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

TEST_SUITE_BEGIN("large");

// The mappings have no rights at first, so that the eager pager need not fill 10^5 pages.
TEST_CASE_TEMPLATE("10^5 areas in one space: all work, and all go", P, EVERY_PAGER) {
  Process<P> process(std::size_t{1} << 18);
  constexpr std::uint64_t kCount = 100'000;
  constexpr std::uint64_t kTouchedOneIn = 101;
  const auto start = [](std::uint64_t i) { return va_at(0x10'0000 + i * 2 * kPageSize); };
  for (std::uint64_t i = 0; i < kCount; ++i) {
    REQUIRE(process.map(start((i * 7919) % kCount), kPageSize, Permission::none()).has_value());
  }
  CHECK(process.mm.pager().areas().count() == kCount);
  for (std::uint64_t i = 0; i < kCount; i += kTouchedOneIn) {
    REQUIRE(process.mm.protect(pages_at(start(i), 1), Permission::read_write()).has_value());
    REQUIRE(process.write(start(i), static_cast<std::uint8_t>(i)).has_value());
    REQUIRE(process.read(start(i) + kPageSize).error() == KernelError::NotMapped);
    REQUIRE(process.read(start(i + 1)).error() == KernelError::AccessDenied);
  }
  for (std::uint64_t i = 0; i < kCount; i += kTouchedOneIn)
    REQUIRE(process.read(start(i)) == static_cast<std::uint8_t>(i));
  for (std::uint64_t i = 0; i < kCount; i += 2) REQUIRE(process.unmap(start(i)) == kPageSize);
  CHECK(process.mm.pager().areas().count() == kCount / 2);
  process.mm.clear();
  CHECK(process.mm.pager().areas().count() == 0);
  CHECK(process.frames() == 0);
}

TEST_CASE_TEMPLATE(
    "a mapping of 2^38 bytes less the first page, without rights, costs nothing and goes again", P,
    EVERY_PAGER) {
  Process<P> process;
  const Va first = va_at(kPageSize), last = va_at(kUserEnd - kPageSize);
  CHECK(process.map(first, kUserEnd - kPageSize, Permission::none())->size() == kUserEnd - kPageSize);
  CHECK(process.frames() == 0);
  CHECK(process.read(last).error() == KernelError::AccessDenied);
  REQUIRE(process.mm.protect(pages_at(last, 1), Permission::read_write()).has_value());
  CHECK(process.write(last + (kPageSize - 1), 2).has_value());
  CHECK(process.read(last + (kPageSize - 1)) == 2);
  CHECK(process.read(va_at(last.value() - 1)).error() == KernelError::AccessDenied);
  CHECK(process.unmap(first) == kUserEnd - kPageSize);
  CHECK(process.frames() == 0);
}

TEST_SUITE_END();
