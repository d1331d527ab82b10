// Addresses, ranges, permissions, sets of harts: the types that keep nonsense out.

#include "kernel/mm/address.hpp"

#include <doctest/doctest.h>

#include <type_traits>

#include "kernel/mm/permission.hpp"
#include "kernel/mm/platform.hpp"
#include "test/host/machine/panic.hpp"

using namespace faultline;
using faultline::sim::panic_of;

TEST_SUITE_BEGIN("addresses and permissions");

TEST_CASE("a user address is canonical and below 2^38, or is not made") {
  CHECK(Va::from(0).has_value());
  CHECK(Va::from(kUserEnd - 1)->value() == kUserEnd - 1);
  CHECK(Va::from(kUserEnd).has_value());  // as the end of a range
  CHECK_FALSE(Va::from(kUserEnd + 1).has_value());
  CHECK_FALSE(Va::from(0xffff'ffc0'0000'0000).has_value());
  CHECK_FALSE(Va::from(UINT64_MAX).has_value());
  CHECK_FALSE(Kva::from(kUserEnd).has_value());
  CHECK(Kva::from(0xffff'ffc0'0000'0000).has_value());
  CHECK(Pa::from((std::uint64_t{1} << 56) - 1).has_value());
  CHECK_FALSE(Pa::from(std::uint64_t{1} << 56).has_value());
}

TEST_CASE("addresses convert to no other kind, no pointer and no integer") {
  CHECK_FALSE(std::is_convertible_v<Pa, Va>);
  CHECK_FALSE(std::is_constructible_v<Va, Pa>);
  CHECK_FALSE(std::is_convertible_v<Va, std::uint64_t>);
  CHECK_FALSE(std::is_convertible_v<std::uint64_t, Va>);
  CHECK_FALSE(std::is_constructible_v<void*, Kva>);
}

TEST_CASE("address arithmetic that leaves the kind panics") {
  const Va last = Va::checked(kUserEnd - kPageSize);
  CHECK((last + kPageSize).value() == kUserEnd);
  CHECK(panic_of([&] { (void)(last + 2 * kPageSize); }).has_value());
  CHECK(panic_of([&] { (void)(Va::checked(0) - 1); }).has_value());
  CHECK(panic_of([&] { (void)Va::checked(UINT64_MAX); }).has_value());
}

TEST_CASE("page arithmetic") {
  const Va va = Va::checked(0x1234'5678);
  CHECK(va.page().value() == 0x1234'5000);
  CHECK(va.page_offset() == 0x678);
  CHECK_FALSE(va.page_aligned());
  CHECK(va.page().page_aligned());
  CHECK(page_ceiling(1) == kPageSize);
  CHECK(page_ceiling(kPageSize) == kPageSize);
  CHECK(page_ceiling(0) == 0);
  CHECK_FALSE(page_ceiling(UINT64_MAX).has_value());
  CHECK_FALSE(page_ceiling(UINT64_MAX - kPageSize + 2).has_value());
  CHECK(page_ceiling(UINT64_MAX - kPageSize + 1) == UINT64_MAX - kPageSize + 1);
  const Va indexed = Va::checked((5ull << 30) | (6ull << 21) | (7ull << 12) | 8);
  CHECK(indexed.table_index(2) == 5);
  CHECK(indexed.table_index(1) == 6);
  CHECK(indexed.table_index(0) == 7);
}

TEST_CASE("a range is half-open and never leaves the user half") {
  const VaRange range = *VaRange::from(0x1000, 0x3000);
  CHECK(range.pages() == 3);
  CHECK(range.contains(Va::checked(0x1000)));
  CHECK(range.contains(Va::checked(0x3fff)));
  CHECK_FALSE(range.contains(Va::checked(0x4000)));
  CHECK_FALSE(range.contains(Va::checked(0xfff)));
  CHECK(range.overlaps(*VaRange::from(0x3fff, 1)));
  CHECK_FALSE(range.overlaps(*VaRange::from(0x4000, 0x1000)));
  CHECK_FALSE(range.overlaps(*VaRange::from(0, 0x1000)));
  CHECK(range.contains(*VaRange::from(0x1000, 0x3000)));
  CHECK_FALSE(range.contains(*VaRange::from(0x1000, 0x3001)));
  CHECK(VaRange::from(kUserEnd, 0)->empty());
  CHECK(VaRange::from(0, kUserEnd)->size() == kUserEnd);
  CHECK(VaRange::from(kUserEnd, 1).error() == KernelError::InvalidArgument);
  CHECK(VaRange::from(kUserEnd - 1, 2).error() == KernelError::InvalidArgument);
  CHECK(VaRange::from(UINT64_MAX, 2).error() == KernelError::InvalidArgument);
  CHECK(VaRange::from(1, UINT64_MAX).error() == KernelError::InvalidArgument);
}

TEST_CASE("writable without readable cannot be made") {
  CHECK_FALSE(Permission::from(false, true, false).has_value());
  CHECK_FALSE(Permission::from(false, true, true).has_value());
  CHECK(Permission::from(true, true, false) == Permission::read_write());
  CHECK(Permission::from(false, false, false) == Permission::none());
}

TEST_CASE("a permission allows the accesses it names and no others") {
  struct Row {
    Permission permission;
    bool read, write, execute;
  };
  const Row rows[] = {
      {Permission::none(), false, false, false},     {Permission::read(), true, false, false},
      {Permission::read_write(), true, true, false}, {Permission::read_execute(), true, false, true},
      {Permission::execute(), false, false, true},   {Permission::read_write_execute(), true, true, true},
  };
  for (const Row& row : rows) {
    CHECK(row.permission.allows(Access::Read) == row.read);
    CHECK(row.permission.allows(Access::Write) == row.write);
    CHECK(row.permission.allows(Access::Execute) == row.execute);
    CHECK_FALSE(row.permission.without_write().writable());
    CHECK(row.permission.without_write().readable() == row.read);
    CHECK(row.permission.includes(row.permission));
    CHECK(row.permission.includes(Permission::none()));
  }
  CHECK_FALSE(Permission::read().includes(Permission::execute()));
  CHECK(Permission::read_write_execute().includes(Permission::read_execute()));
}

TEST_CASE("a set of harts") {
  const HartId two{2}, five{5};
  const HartSet set = HartSet::of(two).with(five);
  CHECK(set.count() == 2);
  CHECK(set.contains(two));
  CHECK_FALSE(set.contains(HartId{0}));
  CHECK(set.without(two).bits() == 1u << 5);
  CHECK(set.without(two).without(five).empty());
}

TEST_SUITE_END();
