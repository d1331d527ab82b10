// get_user_page and access_ok, and what MmStruct builds on them: how the kernel reaches user memory.

#include <doctest/doctest.h>

#include <array>
#include <cstring>

#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {
const Va kStart = va_at(0x1234'5000);

}  // namespace

TEST_SUITE_BEGIN("get_user_page and access_ok");

TEST_CASE_TEMPLATE("get_user_page is the page in memory and what the mapping allows", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  CHECK(process.write(kStart + 100, 42).has_value());
  const auto page = process.page(kStart + 123, Access::Read);
  REQUIRE(page.has_value());
  CHECK(page->page.bytes()[100] == std::byte{42});
  CHECK(page->permission == Permission::read_write());
}

TEST_CASE_TEMPLATE("get_user_page loads a page that was never touched", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(2 * kPageSize);
  REQUIRE(process.map(kStart, 2 * kPageSize, Permission::read(), file.get()).has_value());
  const auto page = process.page(kStart + kPageSize, Access::Read);
  REQUIRE(page.has_value());
  CHECK(page->page.bytes()[3] == MemoryFile::pattern_byte(kPageSize + 3));
  CHECK(process.read(kStart + kPageSize + 3) ==
        static_cast<std::uint8_t>(MemoryFile::pattern_byte(kPageSize + 3)));
}

TEST_CASE_TEMPLATE("get_user_page is nothing where nothing is mapped or the mapping forbids the access", P,
                   EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize, Permission::read()).has_value());
  REQUIRE(process.map(kStart + kPageSize, kPageSize, Permission::none()).has_value());
  CHECK_FALSE(process.page(kStart, Access::Write).has_value());
  CHECK_FALSE(process.page(kStart, Access::Execute).has_value());
  CHECK_FALSE(process.page(kStart + kPageSize, Access::Read).has_value());
  CHECK_FALSE(process.page(kStart + 2 * kPageSize, Access::Read).has_value());
  CHECK_FALSE(process.page(va_at(0), Access::Read).has_value());
  CHECK_FALSE(process.page(va_at(kUserEnd), Access::Read).has_value());
}

TEST_CASE_TEMPLATE("get_user_page for a write breaks copy-on-write first", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  CHECK(process.write(kStart, 1).has_value());
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));
  {
    const auto page = process.page(kStart, Access::Write);
    REQUIRE(page.has_value());
    page->page.bytes()[0] = std::byte{2};
  }
  CHECK(process.read(kStart) == 2);
  CHECK(child.read(kStart) == 1);
}

TEST_CASE_TEMPLATE("get_user_page for a write never yields the zero page", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  CHECK(process.read(kStart) == 0);
  const auto page = process.page(kStart, Access::Write);
  REQUIRE(page.has_value());
  page->page.bytes()[7] = std::byte{9};
  CHECK(process.read(kStart + 7) == 9);
  process.world.check_zero_page();
}

TEST_CASE_TEMPLATE("a pinned page stays in memory after it was unmapped", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  CHECK(process.write(kStart, 77).has_value());
  const auto page = process.page(kStart, Access::Read);
  REQUIRE(process.unmap(kStart).has_value());
  CHECK(page->page.bytes()[0] == std::byte{77});
}

TEST_CASE_TEMPLATE("access_ok says what the mapping allows, at every byte of it", P, EVERY_PAGER) {
  Process<P> process;
  Va at = kStart;
  for (Permission permission : {Permission::none(), Permission::read(), Permission::read_write(),
                                Permission::read_execute(), Permission::execute()}) {
    REQUIRE(process.map(at, 2 * kPageSize, permission).has_value());
    for (std::uint64_t offset : {std::uint64_t{0}, kPageSize, 2 * kPageSize - 1}) {
      for (Access access : {Access::Read, Access::Write, Access::Execute}) {
        CHECK(process.mm.pager().access_ok(at + offset, access) == permission.allows(access));
      }
    }
    CHECK_FALSE(process.mm.pager().access_ok(at + 2 * kPageSize, Access::Read));
    at = at + 3 * kPageSize;
  }
  CHECK_FALSE(process.mm.pager().access_ok(va_at(0), Access::Read));
  CHECK_FALSE(process.mm.pager().access_ok(va_at(kUserEnd), Access::Read));
}

TEST_CASE_TEMPLATE("access_ok never loads a page", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(2 * kPageSize);
  REQUIRE(process.map(kStart, kPageSize).has_value());
  REQUIRE(process.map(kStart + kPageSize, kPageSize, Permission::read(), file.get()).has_value());
  const std::string before = process.snapshot();
  const unsigned reads = file->reads;
  CHECK(process.mm.access_ok(pages_at(kStart, 1), Access::Write));
  CHECK(process.mm.access_ok(pages_at(kStart, 2), Access::Read));
  CHECK(process.snapshot() == before);
  CHECK(file->reads == reads);
}

TEST_CASE_TEMPLATE("access_ok of a range wants every byte of it", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  REQUIRE(process.map(kStart + 2 * kPageSize, kPageSize, Permission::read()).has_value());
  REQUIRE(process.map(kStart + 4 * kPageSize, kPageSize).has_value());
  auto ok = [&](std::uint64_t offset, std::uint64_t size, Access access) {
    return process.mm.access_ok(VaRange(kStart + offset, kStart + (offset + size)), access);
  };
  CHECK(ok(0, 3 * kPageSize, Access::Read));
  CHECK(ok(0, 2 * kPageSize, Access::Write));
  CHECK(ok(1, 2 * kPageSize - 1, Access::Write));
  CHECK_FALSE(ok(1, 2 * kPageSize, Access::Write));
  CHECK_FALSE(ok(0, 3 * kPageSize + 1, Access::Read));
  CHECK_FALSE(ok(2 * kPageSize, 2 * kPageSize + 1, Access::Read));
  CHECK(ok(4 * kPageSize, kPageSize, Access::Write));
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("MmStruct reaches user memory");

TEST_CASE_TEMPLATE("copy_out and copy_in cross pages, load them and break copy-on-write", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 4 * kPageSize).has_value());
  std::array<std::byte, 2 * kPageSize> sent, received{};
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = MemoryFile::pattern_byte(i);
  const Va to = kStart + 1000;
  REQUIRE(process.mm.copy_out(to, sent).has_value());
  Child<P> child(process.world, *process.mm.fork(), hart_id(1));
  REQUIRE(process.mm.copy_in(received, to).has_value());
  CHECK(received == sent);
  CHECK(process.read(to + 5000) == static_cast<std::uint8_t>(sent[5000]));
  CHECK(process.read(kStart + 999) == 0);
  CHECK(process.read(to + sent.size()) == 0);
  const std::array<std::byte, kPageSize> zeroes{};
  REQUIRE(process.mm.copy_out(to, zeroes).has_value());
  CHECK(process.read(to + 100) == 0);
  CHECK(child.read(to + 100) == static_cast<std::uint8_t>(sent[100]));
}

TEST_CASE_TEMPLATE("copies of objects, and zero_out", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, 2 * kPageSize).has_value());
  const Va at = kStart + (kPageSize - 4);
  REQUIRE(process.mm.copy_out(at, std::uint64_t{0x1122'3344'5566'7788}).has_value());
  CHECK(process.mm.template copy_in<std::uint64_t>(at) == 0x1122'3344'5566'7788u);
  CHECK(process.read(kStart + kPageSize) == 0x44);
  REQUIRE(process.mm.zero_out(VaRange(at + 2, at + 6)).has_value());
  CHECK(process.mm.template copy_in<std::uint64_t>(at) == 0x1122'0000'0000'7788u);
}

TEST_CASE_TEMPLATE("a copy that any byte forbids is BadAddress", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  REQUIRE(process.map(kStart + kPageSize, kPageSize, Permission::read()).has_value());
  std::array<std::byte, 16> buffer{};
  CHECK(process.mm.copy_out(kStart + (kPageSize - 8), buffer).error() == KernelError::BadAddress);
  CHECK(process.mm.copy_in(buffer, kStart + (kPageSize - 8)).has_value());
  CHECK(process.mm.copy_in(buffer, kStart + (2 * kPageSize - 8)).error() == KernelError::BadAddress);
  CHECK(process.mm.copy_in(buffer, va_at(0)).error() == KernelError::BadAddress);
  CHECK(process.mm.copy_in(buffer, va_at(kUserEnd - 8)).error() == KernelError::BadAddress);
  CHECK(process.mm.copy_in(buffer, va_at(kUserEnd)).error() == KernelError::BadAddress);
  CHECK(process.mm.copy_in(std::span<std::byte>(), va_at(kUserEnd)).has_value());
  CHECK(process.mm.zero_out(VaRange(kStart + kPageSize, kStart + (kPageSize + 1))).error() ==
        KernelError::BadAddress);
}

TEST_CASE_TEMPLATE("a string is copied up to its end, on pages never touched before", P, EVERY_PAGER) {
  Process<P> process;
  Ref<MemoryFile> file = MemoryFile::with_pattern(2 * kPageSize);
  using namespace std::string_view_literals;
  REQUIRE(file->write(kPageSize - 3, "hello\0"sv).has_value());
  REQUIRE(process.map(kStart, 2 * kPageSize, Permission::read(), file.get()).has_value());
  std::array<char, 32> buffer{};
  CHECK(process.mm.copy_string_in(buffer, kStart + (kPageSize - 3)) == 5);
  CHECK(std::string_view(buffer.data()) == "hello");
  CHECK(process.mm.copy_string_in(std::span(buffer).first(6), kStart + (kPageSize - 3)) == 5);
  CHECK(process.mm.copy_string_in(std::span(buffer).first(5), kStart + (kPageSize - 3)).error() ==
        KernelError::NameTooLong);
  CHECK(process.mm.copy_string_in(buffer, kStart + (2 * kPageSize - 4)).error() == KernelError::BadAddress);
  CHECK(process.mm.copy_string_in(buffer, va_at(0)).error() == KernelError::BadAddress);
}

TEST_CASE_TEMPLATE(
    "a string may end just below the end of the user half, and one that does not end there is BadAddress", P,
    EVERY_PAGER) {
  Process<P> process;
  const Va last = va_at(kUserEnd - kPageSize);
  REQUIRE(process.map(last, kPageSize).has_value());
  std::array<char, 32> buffer{};
  CHECK(process.mm.copy_string_in(buffer, va_at(kUserEnd - 1)) == 0);
  for (const std::uint64_t back : {1, 2}) CHECK(process.write(va_at(kUserEnd - back), 'x').has_value());
  CHECK(process.mm.copy_string_in(buffer, va_at(kUserEnd - 2)).error() == KernelError::BadAddress);
  CHECK(process.mm.copy_string_in(std::span(buffer).first(2), va_at(kUserEnd - 2)).error() ==
        KernelError::NameTooLong);
}

TEST_CASE_TEMPLATE("get_user_page_and runs the function on the page, or is BadAddress", P, EVERY_PAGER) {
  Process<P> process;
  REQUIRE(process.map(kStart, kPageSize).has_value());
  CHECK(process.mm
            .get_user_page_and(kStart, Access::Write,
                               [](const UserPage& page) { page.page.bytes()[1] = std::byte{6}; })
            .has_value());
  CHECK(process.mm.get_user_page_and(kStart, Access::Read, [](const UserPage& page) {
    return static_cast<int>(page.page.bytes()[1]);
  }) == 6);
  bool ran = false;
  CHECK(process.mm.get_user_page_and(kStart + kPageSize, Access::Read, [&](const UserPage&) { ran = true; })
            .error() == KernelError::BadAddress);
  CHECK_FALSE(ran);
}

TEST_SUITE_END();
