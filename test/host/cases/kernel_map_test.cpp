// The kernel's own half: global leaves of every size, built before there is an allocator.

#include "kernel/mm/kernel_map.hpp"

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <memory>

using namespace faultline;

namespace {

/// Tables in ordinary memory; hands out at most `limit` more.
struct Tables {
  std::map<std::uint64_t, std::array<std::uint64_t, kEntriesPerTable>> tables;
  std::size_t limit = 1000;

  std::optional<Pa> allocate_table() {
    if (limit == 0) return std::nullopt;
    --limit;
    const std::uint64_t address = 0x9000'0000 + tables.size() * kPageSize;
    tables[address] = {};
    return Pa::checked(address);
  }
  std::uint64_t* words(Pa table) { return tables.at(table.value()).data(); }

  /// The leaf for an address and its level.
  std::optional<std::pair<Pte, unsigned>> walk(Pa root, std::uint64_t va) {
    Pa table = root;
    for (unsigned level = kTableLevels - 1;; --level) {
      const Pte entry(words(table)[(va >> (kPageShift + 9 * level)) & 0x1ff]);
      if (entry.is_leaf()) return std::pair(entry, level);
      if (!entry.is_table()) return std::nullopt;
      table = entry.pa();
    }
  }
};

constexpr std::uint64_t kBase = 0xffff'ffc0'0000'0000;

}  // namespace

TEST_SUITE_BEGIN("kernel map");

TEST_CASE(
    "a kernel range is mapped in the largest leaves that alignment allows, global and not for user mode") {
  Tables memory;
  const Pa root = *memory.allocate_table();
  const std::uint64_t start = kBase + 2 * kGigapageSize - kMegapageSize - kPageSize;
  const Pa to = Pa::checked(2 * kGigapageSize - kMegapageSize - kPageSize);
  const std::uint64_t size = kPageSize + kMegapageSize + kGigapageSize + kMegapageSize + kPageSize;
  REQUIRE(
      map_kernel_range(memory, root, Kva::checked(start), to, size, Permission::read_write()).has_value());
  struct Row {
    std::uint64_t offset;
    unsigned level;
  };
  for (const Row& row : {Row{0, 0}, Row{kPageSize, 1}, Row{kPageSize + kMegapageSize, 2},
                         Row{kPageSize + kMegapageSize + kGigapageSize, 1}, Row{size - kPageSize, 0}}) {
    const auto found = memory.walk(root, start + row.offset);
    REQUIRE(found.has_value());
    CHECK(found->second == row.level);
    CHECK(found->first.pa() == to + row.offset);
    CHECK((found->first.raw() & Pte::kGlobal) != 0);
    CHECK((found->first.raw() & Pte::kUser) == 0);
    CHECK(found->first.permission() == Permission::read_write());
  }
  CHECK_FALSE(memory.walk(root, start - kPageSize).has_value());
  CHECK_FALSE(memory.walk(root, start + size).has_value());
}

TEST_CASE("the last page of the address space can be mapped, nothing beyond it") {
  Tables memory;
  const Pa root = *memory.allocate_table();
  const Kva last = Kva::checked(UINT64_MAX - kPageSize + 1);
  const Pa to = Pa::checked(0x8000'0000);
  CHECK(map_kernel_range(memory, root, last, to, 2 * kPageSize, Permission::read()).error() ==
        KernelError::InvalidArgument);
  CHECK(map_kernel_range(memory, root, last, to, kPageSize, Permission::read()).has_value());
}

TEST_CASE("a kernel range that is unaligned, empty, mapped already or without memory is refused") {
  Tables memory;
  const Pa root = *memory.allocate_table();
  const Kva from = Kva::checked(kBase);
  const Pa to = Pa::checked(0x8000'0000);
  const Permission rights = Permission::read();
  CHECK(map_kernel_range(memory, root, from + 1, to, kPageSize, rights).error() ==
        KernelError::InvalidArgument);
  CHECK(map_kernel_range(memory, root, from, to + 1, kPageSize, rights).error() ==
        KernelError::InvalidArgument);
  CHECK(map_kernel_range(memory, root, from, to, kPageSize + 1, rights).error() ==
        KernelError::InvalidArgument);
  CHECK(map_kernel_range(memory, root, from, to, 0, rights).error() == KernelError::InvalidArgument);
  REQUIRE(map_kernel_range(memory, root, from, Pa::checked(0), kGigapageSize, rights).has_value());
  CHECK(map_kernel_range(memory, root, from, to, kPageSize, rights).error() == KernelError::AlreadyMapped);
  memory.limit = 1;
  CHECK(map_kernel_range(memory, root, from + kGigapageSize, to, kPageSize, rights).error() ==
        KernelError::OutOfMemory);
}

TEST_SUITE_END();
