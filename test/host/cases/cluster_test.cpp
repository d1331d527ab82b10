// ClusterPager: a fault on anonymous memory makes the pages around it too.

#include <doctest/doctest.h>

#include "kernel/mm/cluster_pager.hpp"
#include "kernel/mm/memory_system.hpp"
#include "test/host/cases/lazy.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {
constexpr std::uint64_t kGroup = 16;   // pages
const Va kStart = va_at(0x1234'0000);  // where a group begins
using Cluster = Process<ClusterPager>;
}  // namespace

TEST_SUITE_BEGIN("ClusterPager");

TEST_CASE("ClusterPager: one write makes the aligned 64 KiB around it, zeroed, and nothing else") {
  Cluster process;
  REQUIRE(process.map(kStart, 3 * kGroup * kPageSize).has_value());
  CHECK(process.resident() == 0);
  const Rise faults(Counter::PageFault), spurious(Counter::SpuriousFault);
  CHECK(process.write(kStart + (kGroup + 5) * kPageSize, 1).has_value());
  CHECK(process.mm.usage(pages_at(kStart + kGroup * kPageSize, kGroup)).resident_pages == kGroup);
  CHECK(process.resident() == kGroup);
  for (std::uint64_t i = 0; i < kGroup; ++i) {
    CHECK(process.read(kStart + (kGroup + i) * kPageSize) == (i == 5 ? 1 : 0));
    CHECK(process.write(kStart + (kGroup + i) * kPageSize, 2).has_value());
  }
  CHECK(faults() == 1 + spurious());  // a hart may remember that an entry was not valid
}

TEST_CASE("ClusterPager: the group ends where the area ends") {
  Cluster process;
  REQUIRE(process.map(kStart + 2 * kPageSize, 3 * kPageSize).has_value());
  REQUIRE(process.map(kStart + 5 * kPageSize, 2 * kPageSize).has_value());
  CHECK(process.write(kStart + 4 * kPageSize, 1).has_value());
  CHECK(process.resident() == 3);
}

TEST_CASE("ClusterPager: a read maps the zero page around it and takes no frame but tables") {
  Cluster process;
  REQUIRE(process.map(kStart, kGroup * kPageSize).has_value());
  CHECK(process.read(kStart) == 0);
  CHECK(process.resident() == kGroup);
  CHECK(process.frames() == 2);
}

TEST_CASE(
    "ClusterPager: pages that are there keep their contents, and a second fault among them makes none") {
  Cluster process;
  REQUIRE(process.map(kStart, kGroup * kPageSize).has_value());
  CHECK(process.read(kStart) == 0);
  CHECK(process.write(kStart + kPageSize, 7).has_value());
  CHECK(process.frames() == 3);  // the page written and two tables: its neighbours still are the zero page
  REQUIRE(process.mm.advise(pages_at(kStart + 2 * kPageSize, 1), Advice::DontNeed).has_value());
  CHECK(process.write(kStart + 2 * kPageSize, 8).has_value());
  CHECK(process.read(kStart + kPageSize) == 7);
}

TEST_CASE("ClusterPager: without memory for neighbours the fault makes its own page") {
  Cluster process;
  REQUIRE(process.map(kStart, kGroup * kPageSize).has_value());
  REQUIRE(process.map(kStart + kGroup * kPageSize, kPageSize).has_value());
  CHECK(process.read(kStart + kGroup * kPageSize).has_value());  // makes the tables
  process.world.machine.limit_frames(process.world.machine.frames_in_use() + 1);
  CHECK(process.write(kStart + kPageSize, 1).has_value());
  process.world.machine.limit_frames(SIZE_MAX);
  CHECK(process.mm.usage(pages_at(kStart, kGroup)).resident_pages == 1);
  CHECK(process.read(kStart + kPageSize) == 1);
}

TEST_CASE("ClusterPager: a child of fork is clustered too, and a copy-on-write fault copies its page only") {
  Cluster process;
  REQUIRE(process.map(kStart, 2 * kGroup * kPageSize).has_value());
  CHECK(process.write(kStart, 1).has_value());
  Child<ClusterPager> child(process.world, *process.mm.fork(), hart_id(1));
  const Rise copies(Counter::CopyOnWrite);
  CHECK(child.write(kStart, 2).has_value());
  CHECK(copies() == 1);
  CHECK(child.write(kStart + kGroup * kPageSize, 3).has_value());
  CHECK(child.mm.usage(pages_at(kStart + kGroup * kPageSize, kGroup)).resident_pages == kGroup);
  CHECK(process.read(kStart) == 1);
}

TEST_SUITE_END();
