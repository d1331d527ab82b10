// The simulated machine judges the core, so it is judged first: each of its accusations is provoked once.

#include "test/host/machine/machine.hpp"

#include <doctest/doctest.h>

#include <cstring>

#include "kernel/lib/heap.hpp"
#include "test/host/capture.hpp"
#include "test/host/machine/panic.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

constexpr std::uint64_t kPointer = pte_bits::kValid;
constexpr std::uint64_t kReadLeaf =
    pte_bits::kValid | pte_bits::kRead | pte_bits::kUser | pte_bits::kAccessed | pte_bits::kDirty;
constexpr std::uint64_t kWriteLeaf = kReadLeaf | pte_bits::kWrite;
constexpr Asid kAsid{7};

/// A page table written by hand: one page at `va`.
class HandMadeSpace {
 public:
  HandMadeSpace(Machine& machine, Va va) : machine_(machine), va_(va) {
    for (Pa& table : tables_) table = *machine.allocate(0, FrameContents::Zeroed);
    slot(2) = entry(tables_[1], kPointer);
    slot(1) = entry(tables_[0], kPointer);
    machine.hart(hart_id(0)).write_satp(Satp{kAsid, tables_[2]});
  }
  ~HandMadeSpace() {
    machine_.hart(hart_id(0)).write_satp(std::nullopt);
    for (Pa table : tables_) {
      platform::frame_info(table).references = 0;
      platform::release_frame(table);
    }
  }
  static std::uint64_t entry(Pa pa, std::uint64_t bits) {
    return pa.page_number() << pte_bits::kPpnShift | bits;
  }
  std::uint64_t& slot(unsigned level) {
    return reinterpret_cast<std::uint64_t*>(platform::frame_bytes(tables_[level]))[va_.table_index(level)];
  }
  FenceScope by_address() const { return {kAsid, VaRange(va_, va_ + kPageSize)}; }

 private:
  Machine& machine_;
  Va va_;
  Pa tables_[3] = {Pa::checked(0), Pa::checked(0), Pa::checked(0)};
};

Pa new_frame() { return *platform::allocate_frame(FrameContents::Zeroed); }
void drop(Pa frame) {
  platform::frame_info(frame).references = 0;
  platform::release_frame(frame);
}

const Va kVa = Va::checked(0x12'3456'7000);

}  // namespace

TEST_SUITE_BEGIN("the simulated machine");

TEST_CASE("a hart translates through three levels, and sets A on access and D on store") {
  Machine machine;
  HandMadeSpace space(machine, kVa);
  const Pa frame = new_frame();
  Hart& hart = machine.hart(hart_id(0));
  const std::uint64_t bare = pte_bits::kValid | pte_bits::kRead | pte_bits::kWrite | pte_bits::kUser;
  space.slot(0) = HandMadeSpace::entry(frame, bare);
  CHECK(hart.access(kVa + 8, Access::Read, 8) == 0);
  CHECK(space.slot(0) == HandMadeSpace::entry(frame, bare | pte_bits::kAccessed));
  CHECK(hart.access(kVa + 8, Access::Write, 8, 0x1122334455667788).has_value());
  CHECK(space.slot(0) == HandMadeSpace::entry(frame, bare | pte_bits::kAccessed | pte_bits::kDirty));
  CHECK(hart.access(kVa + 9, Access::Read, 1) == 0x77);
  CHECK_FALSE(hart.access(kVa, Access::Execute, 2).has_value());
  space.slot(0) = 0;
  hart.fence(space.by_address());
  drop(frame);
}

TEST_CASE("a hart uses the old translation, valid or not, until it is fenced") {
  Machine machine;
  HandMadeSpace space(machine, kVa);
  const Pa first = new_frame(), second = new_frame();
  Hart& hart = machine.hart(hart_id(0));
  CHECK_FALSE(hart.access(kVa, Access::Read, 1).has_value());
  platform::frame_bytes(first)[0] = std::byte{1};
  platform::frame_bytes(second)[0] = std::byte{2};
  space.slot(0) = HandMadeSpace::entry(first, kReadLeaf);
  CHECK_FALSE(hart.access(kVa, Access::Read, 1).has_value());  // it was not valid when it was looked at
  hart.fence(space.by_address());
  CHECK(hart.access(kVa, Access::Read, 1) == 1);
  space.slot(0) = HandMadeSpace::entry(second, kWriteLeaf);
  CHECK(hart.access(kVa, Access::Read, 1) == 1);
  CHECK_FALSE(hart.access(kVa, Access::Write, 1, 9).has_value());
  hart.fence({kAsid, VaRange(kVa + kPageSize, kVa + 2 * kPageSize)});  // the wrong page
  hart.fence({Asid{8}, std::nullopt});                                 // the wrong space
  CHECK(hart.access(kVa, Access::Read, 1) == 1);
  hart.fence(space.by_address());
  CHECK(hart.access(kVa, Access::Read, 1) == 2);
  space.slot(0) = 0;
  hart.fence(space.by_address());
  drop(first);
  drop(second);
}

TEST_CASE("a fence by address leaves non-leaf entries in place; one of the space does not") {
  Machine machine;
  HandMadeSpace space(machine, kVa);
  const Pa frame = new_frame(), table = new_frame();
  Hart& hart = machine.hart(hart_id(0));
  space.slot(0) = HandMadeSpace::entry(frame, kReadLeaf);
  CHECK(hart.access(kVa, Access::Read, 1).has_value());
  const std::uint64_t linked = space.slot(1);
  space.slot(1) = HandMadeSpace::entry(table, kPointer);  // an empty table in place of the first
  hart.fence(space.by_address());
  CHECK(hart.access(kVa, Access::Read, 1).has_value());
  hart.fence({kAsid, std::nullopt});
  CHECK_FALSE(hart.access(kVa, Access::Read, 1).has_value());
  space.slot(1) = linked;
  space.slot(0) = 0;
  hart.fence({kAsid, std::nullopt});
  drop(frame);
  drop(table);
}

TEST_CASE("a fence before the change is useless: the hart has looked again in between") {
  Machine machine;
  HandMadeSpace space(machine, kVa);
  const Pa frame = new_frame();
  Hart& hart = machine.hart(hart_id(0));
  space.slot(0) = HandMadeSpace::entry(frame, kReadLeaf);
  CHECK(hart.access(kVa, Access::Read, 1).has_value());
  hart.fence(space.by_address());
  space.slot(0) = 0;
  CaptureReports reports;
  CHECK(hart.access(kVa, Access::Read, 1).has_value());
  machine.check_coherence();
  CHECK(reports.take("still holds") == 1);
  drop(frame);
  CHECK(reports.take("can reach it") == 1);
  CHECK(hart.access(kVa, Access::Read, 1).has_value());
  CHECK(reports.take("released since") == 1);
  hart.fence(space.by_address());
}

TEST_CASE("an ASID given to another space without a flush is noticed when it is used") {
  Machine machine;
  HandMadeSpace space(machine, kVa);
  const Pa frame = new_frame();
  Hart& hart = machine.hart(hart_id(0));
  space.slot(0) = HandMadeSpace::entry(frame, kReadLeaf);
  CHECK(hart.access(kVa, Access::Read, 1).has_value());
  {
    HandMadeSpace other(machine, kVa);
    CaptureReports reports;
    CHECK(hart.access(kVa, Access::Read, 1).has_value());
    CHECK(reports.take("another space") == 1);
    hart.fence_everything();
  }
  drop(frame);
}

TEST_CASE("malformed entries are reported") {
  Machine machine;
  HandMadeSpace space(machine, kVa);
  const Pa frame = new_frame();
  Hart& hart = machine.hart(hart_id(0));
  CaptureReports reports;
  auto try_entry = [&](std::uint64_t bits, const char* complaint) {
    space.slot(0) = HandMadeSpace::entry(frame, bits);
    CHECK_FALSE(hart.access(kVa, Access::Read, 1).has_value());
    CHECK(reports.take(complaint) == 1);
    hart.fence({kAsid, std::nullopt});
    reports.take("");
    hart.fence_everything();
  };
  try_entry(kReadLeaf | std::uint64_t{1} << 60, "reserved");
  try_entry(kPointer, "below the last level");
  try_entry(kWriteLeaf & ~pte_bits::kRead, "not readable");
  try_entry(kReadLeaf & ~pte_bits::kUser, "without U");
  try_entry(kReadLeaf | pte_bits::kGlobal, "global");
  space.slot(0) = 0;
  drop(frame);
}

TEST_CASE("frames: double release, release with references, write after release and leaks are reported") {
  CaptureReports reports;
  {
    Machine machine(64);
    const Pa frame = new_frame();
    platform::release_frame(frame);
    CHECK(reports.take("1 references") == 1);
    platform::release_frame(frame);
    CHECK(reports.take("not allocated") == 1);
    (void)platform::frame_bytes(frame);
    CHECK(reports.take("not an allocated frame") == 1);
#ifndef __SANITIZE_ADDRESS__  // which would see the write itself
    std::byte* bytes = platform::frame_bytes(new_frame());
    drop(frame);
    bytes[100] = std::byte{0};
    CHECK(new_frame() == frame);
    CHECK(reports.take("was written at offset 0x64") == 1);
#else
    (void)new_frame();
#endif
    CHECK(reports.take("") == 0);
  }
  CHECK(reports.take("1 frames were never released") == 1);
}

TEST_CASE("blocks are naturally aligned, and a small machine runs out of memory") {
  Machine machine(1024);
  const auto block = platform::allocate_block(9, FrameContents::Zeroed);
  REQUIRE(block.has_value());
  CHECK(block->value() % kMegapageSize == 0);
  std::vector<Pa> frames;
  while (auto frame = platform::allocate_frame(FrameContents::Any)) frames.push_back(*frame);
  CHECK(frames.size() == 512);
  CHECK(machine.frames_in_use() == 1024);
  CHECK_FALSE(platform::allocate_block(9, FrameContents::Any).has_value());
  for (Pa frame : frames) drop(frame);
  platform::frame_info(*block).references = 0;
  platform::release_block(*block, 9);
}

TEST_CASE("heap: wrong size, double release and leaks are reported") {
  CaptureReports reports;
  {
    Machine machine;
    void* object = heap_allocate(24, 8);
    heap_release(object, 32, 8);
    CHECK(reports.take("allocated with (24, 8)") == 1);
    // LeakSanitizer must leave this one to the machine: it takes what can be reached for no leak.
    static void* reachable = nullptr;
    reachable = heap_allocate(64, 64);
    CHECK(reachable != nullptr);
  }
  CHECK(reports.take("1 heap objects") == 1);
}

TEST_CASE("the n-th allocation fails, and only that one") {
  Machine machine;
  machine.fail_allocation(3);
  const auto first = platform::allocate_frame(FrameContents::Any);
  void* second = heap_allocate(8, 8);
  CHECK(first.has_value());
  CHECK(second != nullptr);
  CHECK_FALSE(platform::allocate_frame(FrameContents::Any).has_value());
  const auto fourth = platform::allocate_frame(FrameContents::Any);
  CHECK(fourth.has_value());
  heap_release(second, 8, 8);
  drop(*first);
  drop(*fourth);
}

TEST_CASE("a fence of other harts must not name the current one") {
  Machine machine;
  CaptureReports reports;
  OnHart here(hart_id(3));
  CHECK(platform::current_hart() == hart_id(3));
  platform::fence_remote(HartSet::of(hart_id(3)), {kAsid, std::nullopt});
  CHECK(reports.take("names the current hart") == 1);
}

TEST_CASE("a panic is caught in a child process, and a sleep that nobody ends is one") {
  Machine machine;
  CHECK(panic_of([] { panic("as expected"); }) == "as expected");
  CHECK_FALSE(panic_of([] {}).has_value());
  CHECK(panic_of([] {
          const std::atomic<std::uint32_t> word = 1;
          platform::wait_while_equal(word, 1);
        })
            .value_or("")
            .find("deadlock") == 0);
}

TEST_SUITE_END();
