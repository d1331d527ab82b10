// LazyPager: handle_page_fault and its two steps, do_lazy_load and do_copy_on_write.

#include <doctest/doctest.h>

#include "test/host/cases/lazy.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {
const Va kStart = va_at(0x1234'5000);
}

TEST_SUITE_BEGIN("LazyPager: faults");

TEST_CASE("a fault is by reason a demand-paging fault, a copy-on-write fault, or neither") {
  using Entry = PageFaultReason::Entry;
  CHECK(PageFaultReason{kStart, Access::Read, Entry::Missing}.is_demand_paging_fault());
  CHECK(PageFaultReason{kStart, Access::Write, Entry::Missing}.is_demand_paging_fault());
  CHECK_FALSE(PageFaultReason{kStart, Access::Write, Entry::Missing}.is_cow_fault());
  CHECK(PageFaultReason{kStart, Access::Write, Entry::Present}.is_cow_fault());
  CHECK_FALSE(PageFaultReason{kStart, Access::Read, Entry::Present}.is_cow_fault());
  CHECK_FALSE(PageFaultReason{kStart, Access::Write, Entry::Present}.is_demand_paging_fault());
}

TEST_CASE(
    "LazyPager: handle_page_fault outside every mapping, or against its permission, is an error and maps "
    "nothing") {
  Lazy process;
  REQUIRE(process.map(kStart, kPageSize, Permission::read()).has_value());
  const std::string before = process.snapshot();
  auto fault = [&](Va va, Access access) {
    return process.mm.pager().handle_page_fault(process.mm.page_table(), {va, access}).error();
  };
  CHECK(fault(kStart + kPageSize, Access::Read) == KernelError::NotMapped);
  CHECK(fault(va_at(0), Access::Execute) == KernelError::NotMapped);
  CHECK(fault(va_at(kUserEnd), Access::Read) == KernelError::NotMapped);
  CHECK(fault(kStart, Access::Write) == KernelError::AccessDenied);
  CHECK(fault(kStart, Access::Execute) == KernelError::AccessDenied);
  CHECK(process.snapshot() == before);
}

TEST_CASE(
    "LazyPager: handle_page_fault loads what is missing, breaks copy-on-write of what is present, and no "
    "more") {
  Lazy process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  const auto fault = [&](Access access) { return process.mm.handle_page_fault({kStart, access}); };
  Rise loaded(Counter::ZeroPageMapped), made(Counter::DemandZero), copied(Counter::CopyOnWrite);
  REQUIRE(fault(Access::Read).has_value());
  CHECK(loaded() == 1);
  REQUIRE(fault(Access::Write).has_value());
  CHECK(made() == 1);
  CHECK(frame_at(process, kStart) != process.world.system().zero_page());
  Child<LazyPager> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(child.read(kStart) == 0);
  const Pa original = frame_at(process, kStart);
  REQUIRE(fault(Access::Read).has_value());
  CHECK(frame_at(process, kStart) == original);
  REQUIRE(fault(Access::Write).has_value());
  CHECK(copied() == 1);
  CHECK(frame_at(process, kStart) != original);
  CHECK_FALSE(process.mm.walk(kStart + kPageSize).has_value());
}

TEST_CASE("do_lazy_load installs the page with the permission of the mapping") {
  for (Permission permission : {Permission::read(), Permission::read_write(), Permission::read_execute(),
                                Permission::execute(), Permission::read_write_execute()}) {
    Lazy process;
    REQUIRE(process.map(kStart, kPageSize, permission).has_value());
    const Access access = permission.writable()   ? Access::Write
                          : permission.readable() ? Access::Read
                                                  : Access::Execute;
    const PageFaultReason reason{kStart + 5, access, PageFaultReason::Entry::Missing};
    REQUIRE(process.mm.pager().do_lazy_load(process.mm.page_table(), reason).has_value());
    CHECK(process.mm.walk(kStart)->entry.permission() == permission);
  }
}

TEST_CASE(
    "do_lazy_load of a page that is loaded already, as when another thread was faster, changes nothing") {
  Lazy process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  const PageFaultReason reason{kStart + 5, Access::Write, PageFaultReason::Entry::Missing};
  REQUIRE(process.mm.pager().do_lazy_load(process.mm.page_table(), reason).has_value());
  const std::string before = process.snapshot();
  REQUIRE(process.mm.pager().do_lazy_load(process.mm.page_table(), reason).has_value());
  CHECK(process.snapshot() == before);
}

TEST_CASE("do_lazy_load fills the page from the file where there is one, and with zeroes where not") {
  Lazy process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(3 * kPageSize);
  const Va of_file = kStart + 10 * kPageSize;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  REQUIRE(process.map(of_file, kPageSize, Permission::read_write(), file.get(), kPageSize).has_value());
  for (Va va : {kStart, of_file}) {
    const PageFaultReason reason{va, Access::Write, PageFaultReason::Entry::Missing};
    REQUIRE(process.mm.pager().do_lazy_load(process.mm.page_table(), reason).has_value());
    const auto bytes = PageRef::from_pa(frame_at(process, va)).bytes();
    for (std::size_t i = 0; i < kPageSize; ++i)
      REQUIRE(bytes[i] == (va == kStart ? std::byte{0} : MemoryFile::pattern_byte(kPageSize + i)));
  }
}

TEST_CASE("do_lazy_load and do_copy_on_write outside every mapping, or against its permission, are errors") {
  using Entry = PageFaultReason::Entry;
  Lazy process;
  REQUIRE(process.map(kStart, kPageSize, Permission::read()).has_value());
  CHECK(process.read(kStart) == 0);
  const std::string before = process.snapshot();
  auto& mm = process.mm;
  for (Va va : {va_at(0), kStart + kPageSize, va_at(kUserEnd)}) {
    CHECK(mm.pager().do_lazy_load(mm.page_table(), {va, Access::Read, Entry::Missing}).error() ==
          KernelError::NotMapped);
    CHECK(mm.pager().do_copy_on_write(mm.page_table(), {va, Access::Write, Entry::Present}).error() ==
          KernelError::NotMapped);
  }
  CHECK(mm.pager().do_lazy_load(mm.page_table(), {kStart, Access::Execute, Entry::Missing}).error() ==
        KernelError::AccessDenied);
  CHECK(mm.pager().do_copy_on_write(mm.page_table(), {kStart, Access::Write, Entry::Present}).error() ==
        KernelError::AccessDenied);
  CHECK(process.snapshot() == before);
}

TEST_CASE("do_copy_on_write without memory is OutOfMemory, and the page stays shared") {
  Lazy process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  REQUIRE(process.write(kStart, 1).has_value());
  Child<LazyPager> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(child.read(kStart) == 1);
  CHECK(process.read(kStart) == 1);
  const std::string before = process.snapshot();
  process.world.machine.fail_allocation(1, true);
  const PageFaultReason reason{kStart, Access::Write, PageFaultReason::Entry::Present};
  CHECK(process.mm.pager().do_copy_on_write(process.mm.page_table(), reason).error() ==
        KernelError::OutOfMemory);
  process.world.machine.fail_allocation(0);
  CHECK(process.snapshot() == before);
  CHECK(child.mm.walk(kStart)->entry.pa() == frame_at(process, kStart));
}

TEST_CASE("do_lazy_load without memory, or past the end of a file, is an error and installs nothing") {
  Lazy process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPageSize);
  REQUIRE(process.map(kStart, kPageSize).has_value());
  REQUIRE(process.map(kStart + kPageSize, 2 * kPageSize, Permission::read(), file.get()).has_value());
  const auto load = [&](Va va, Access access) {
    const PageFaultReason reason{va, access, PageFaultReason::Entry::Missing};
    return process.mm.pager().do_lazy_load(process.mm.page_table(), reason);
  };
  process.world.machine.fail_allocation(1, true);
  CHECK(load(kStart, Access::Write).error() == KernelError::OutOfMemory);
  process.world.machine.fail_allocation(0);
  CHECK(load(kStart + 2 * kPageSize, Access::Read).error() == KernelError::BeyondEndOfFile);
  CHECK(process.resident() == 0);
  CHECK(load(kStart, Access::Write).has_value());
}

TEST_CASE("do_copy_on_write leaves no hart of the space with the page it replaced") {
  Lazy process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  REQUIRE(process.write(kStart, 1).has_value());
  Child<LazyPager> child(process.world, *process.mm.fork(), hart_id(1));
  for (unsigned h : {2, 5}) {
    process.world.run(hart_id(h), process.mm.space());
    CHECK(process.read(kStart, hart_id(h)) == 1);  // and remembers the frame both share
  }
  const PageFaultReason reason{kStart, Access::Write, PageFaultReason::Entry::Present};
  REQUIRE(process.mm.pager().do_copy_on_write(process.mm.page_table(), reason).has_value());
  process.world.machine.check_coherence();
  REQUIRE(child.write(kStart, 9).has_value());
  for (unsigned h : {0, 2, 5}) CHECK(process.read(kStart, hart_id(h)) == 1);
}

TEST_CASE("do_copy_on_write where nothing is present, or all is writable already, changes nothing") {
  Lazy process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  REQUIRE(process.write(kStart, 1).has_value());
  const std::string before = process.snapshot();
  for (Va va : {kStart, kStart + kPageSize}) {
    const PageFaultReason reason{va, Access::Write, PageFaultReason::Entry::Present};
    CHECK(process.mm.pager().do_copy_on_write(process.mm.page_table(), reason).has_value());
  }
  CHECK(process.snapshot() == before);
}

TEST_CASE("do_copy_on_write copies the contents, and the original stays for the others") {
  Lazy process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  for (std::uint64_t i = 0; i < kPageSize; i += 8) {
    CHECK(process.write(kStart + i, static_cast<std::uint8_t>(i / 8)).has_value());
  }
  Child<LazyPager> child(process.world, *process.mm.fork(), hart_id(1));
  CHECK(child.read(kStart) == 0);
  CHECK(process.read(kStart) == 0);
  const Pa original = frame_at(process, kStart);
  PageFaultReason reason{kStart, Access::Write, PageFaultReason::Entry::Present};
  REQUIRE(process.mm.pager().do_copy_on_write(process.mm.page_table(), reason).has_value());
  CHECK(frame_at(process, kStart) != original);
  CHECK(child.mm.walk(kStart)->entry.pa() == original);
  for (std::uint64_t i = 0; i < kPageSize; i += 8) {
    CHECK(process.read(kStart + i) == static_cast<std::uint8_t>(i / 8));
    CHECK(child.read(kStart + i) == static_cast<std::uint8_t>(i / 8));
  }
  CHECK(process.mm.walk(kStart)->entry.permission() == Permission::read_write());
}

TEST_SUITE_END();
