// Frames and page-table entries.

#include "kernel/mm/frame.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "kernel/mm/pte.hpp"
#include "test/host/world.hpp"

using namespace faultline;
using namespace faultline::sim;

TEST_SUITE_BEGIN("frames and entries");

TEST_CASE("a frame goes back to the machine with its last reference") {
  World world;
  {
    Frame first = *Frame::allocate(FrameContents::Zeroed);
    CHECK(first.is_sole_owner());
    CHECK(world.frames_used() == 1);
    CHECK(std::ranges::all_of(first.bytes(), [](std::byte b) { return b == std::byte{0}; }));
    Frame second = first.share();
    CHECK(second.pa() == first.pa());
    CHECK_FALSE(first.is_sole_owner());
    first = Frame();
    CHECK_FALSE(first);
    CHECK(second.is_sole_owner());
    Frame third = std::move(second);
    CHECK_FALSE(second);  // NOLINT(bugprone-use-after-move): moved-from is empty by contract
    CHECK(world.frames_used() == 1);
  }
  CHECK(world.frames_used() == 0);
}

TEST_CASE("assigning over a frame drops what it held; assigning it to itself keeps it") {
  World world;
  Frame frame = *Frame::allocate(FrameContents::Any);
  frame = *Frame::allocate(FrameContents::Any);
  CHECK(world.frames_used() == 1);
  Frame& same = frame;
  frame = std::move(same);
  CHECK(frame.is_sole_owner());
  CHECK_FALSE(Frame().share());
}

TEST_CASE("a reference leaked to an entry is the one adopted from it") {
  World world;
  Frame frame = *Frame::allocate(FrameContents::Any);
  const Pa pa = frame.share().leak();
  CHECK_FALSE(frame.is_sole_owner());
  {
    Frame adopted = Frame::adopt(pa);
  }
  CHECK(frame.is_sole_owner());
}

TEST_CASE("a frame that cannot be had is OutOfMemory") {
  World world;
  world.machine.fail_allocation(1);
  CHECK(Frame::allocate(FrameContents::Any).error() == KernelError::OutOfMemory);
}

TEST_CASE("a page is zeroed and copied whole") {
  World world;
  Frame source = *Frame::allocate(FrameContents::Any), target = *Frame::allocate(FrameContents::Any);
  for (std::size_t i = 0; i < kPageSize; ++i) source.bytes()[i] = static_cast<std::byte>(i * 7 + i / 256);
  target.page().copy_from(source.page());
  CHECK(std::ranges::equal(source.bytes(), target.bytes()));
  target.page().zero();
  CHECK(std::ranges::all_of(target.bytes(), [](std::byte b) { return b == std::byte{0}; }));
  CHECK(source.bytes()[kPageSize - 1] != std::byte{0});
}

TEST_CASE("references taken and dropped by several threads add up, and the frame is released once") {
  World world;
  Frame frame = *Frame::allocate(FrameContents::Any);
  auto work = [&] {
    for (int i = 0; i < 5000; ++i) Frame copy = frame.share();
  };
  world.machine.run_in_parallel({work, work, work});
  CHECK(frame.is_sole_owner());
}

TEST_CASE("an entry has the bits of Sv39") {
  const Pa pa = Pa::checked(0x00ab'cdef'0123'4000);
  const std::uint64_t number = (pa.value() >> 12) << 10;
  CHECK(Pte::table(pa).raw() == (number | 0x01));
  CHECK(Pte::user(pa, Permission::read(), 0, false).raw() == (number | 0x53));
  CHECK(Pte::user(pa, Permission::read_write(), 0, true).raw() == (number | 0xd7));
  CHECK(Pte::user(pa, Permission::read_execute(), 0, false).raw() == (number | 0x5b));
  CHECK(Pte::user(pa, Permission::execute(), 0, false).raw() == (number | 0x59));
  CHECK(Pte::user(pa, Permission::read_write_execute(), 0, true).raw() == (number | 0xdf));
  CHECK(Pte::kernel(pa, Permission::read_write()).raw() == (number | 0xe7));
  CHECK(Pte::user(pa, Permission::read(), Pte::kUncounted, false).raw() == (number | 0x153));
  CHECK(Pte::user(pa, Permission::read(), Pte::kSharedMapping, false).raw() == (number | 0x253));
  CHECK(Pte::table(pa).pa() == pa);
}

TEST_CASE("an entry is of exactly one kind") {
  const Pa pa = Pa::checked(0x8000'0000);
  const Pte kinds[] = {Pte(), Pte::table(pa), Pte::user(pa, Permission::read_write(), 0, true),
                       Pte::user(pa, Permission::none(), 0, true), Pte::shared_table(pa)};
  for (std::size_t i = 0; i < std::size(kinds); ++i) {
    CHECK(kinds[i].is_empty() == (i == 0));
    CHECK(kinds[i].is_table() == (i == 1));
    CHECK(kinds[i].is_leaf() == (i == 2));
    CHECK(kinds[i].is_retained() == (i == 3));
    CHECK(kinds[i].is_shared_table() == (i == 4));
    CHECK(kinds[i].has_page() == (i == 2 || i == 3));
    CHECK(kinds[i].is_valid() == (i == 1 || i == 2));
  }
}

TEST_CASE("an entry allows what its rights and its A and D bits let the hart do without a fault") {
  const Pa pa = Pa::checked(0x8000'0000);
  const Pte clean = Pte::user(pa, Permission::read_write(), 0, false);
  CHECK(clean.allows(Access::Read));
  CHECK_FALSE(clean.allows(Access::Write));
  CHECK_FALSE(clean.allows(Access::Execute));
  CHECK(Pte(clean.raw() | Pte::kDirty).allows(Access::Write));
  CHECK_FALSE(Pte(clean.raw() & ~Pte::kAccessed).allows(Access::Read));
  CHECK_FALSE(Pte(clean.raw() & ~Pte::kUser).allows(Access::Read));
  CHECK(Pte::user(pa, Permission::execute(), 0, false).allows(Access::Execute));
  CHECK_FALSE(Pte::user(pa, Permission::execute(), 0, false).allows(Access::Read));
  CHECK(clean.permission() == Permission::read_write());
  CHECK(Pte::user(pa, Permission::none(), 0, false).permission().is_none());
}

TEST_CASE("a slot's exchange returns what the hart had set meanwhile") {
  std::uint64_t word = 0;
  const PteSlot slot(&word);
  const Pte entry = Pte::user(Pa::checked(0x8000'0000), Permission::read_write(), 0, false);
  slot.store(entry);
  word |= Pte::kDirty;
  CHECK(slot.exchange(Pte()).is_dirty());
  CHECK(slot.load().is_empty());
  Pte expected = entry;
  CHECK_FALSE(slot.compare_exchange(expected, entry));
  CHECK(expected.is_empty());
  CHECK(slot.compare_exchange(expected, entry));
  CHECK(slot.fetch_and(~Pte::kWrite) == entry);
  CHECK_FALSE(slot.load().permission().writable());
  slot.fetch_or(Pte::kWrite);
  CHECK(slot.load() == entry);
}

TEST_SUITE_END();
