// AnyPager: each space keeps to the policy that was chosen for it, beside spaces under others.

#include "kernel/mm/any_pager.hpp"

#include <doctest/doctest.h>

#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

const Va kStart = va_at(0x1234'5000);
constexpr std::size_t kPages = 16;

/// Pages of a mapping that are present after mmap, and after a write to its middle.
struct Presence {
  std::size_t mapped, written;
  friend bool operator==(const Presence&, const Presence&) = default;
};

template <class P>
Presence presence(World& world, MmStruct<P>& mm, HartId hart) {
  REQUIRE(mm.mmap(kStart, kPages * kPageSize, Permission::read_write(), {.fixed = true}).has_value());
  const std::size_t mapped = mm.page_table().resident_pages();
  CHECK(user_access(world, hart, mm, kStart + kPages / 2 * kPageSize, Access::Write, 1, 7).has_value());
  return {mapped, mm.page_table().resident_pages()};
}

std::size_t choice_named(std::string_view name) {
  const auto choices = AnyPager::choices();
  for (std::size_t i = 0; i < choices.size(); ++i)
    if (choices[i]->name == name) return i;
  FAIL("no pager is named ", name);
  return 0;
}

}  // namespace

TEST_SUITE_BEGIN("AnyPager");

TEST_CASE_TEMPLATE("a space does what its policy alone would do, and says which one it is", P, EVERY_PAGER) {
  const Presence expected = [] {
    Process<P> alone;
    return presence(alone.world, alone.mm, hart_id(0));
  }();

  Process<AnyPager> any;
  auto chosen = *MmStruct<AnyPager>::create(AnyPager(choice_named(P::kTraits.name)));
  any.world.run(hart_id(1), chosen.space());
  CHECK(chosen.traits().name == P::kTraits.name);
  CHECK(presence(any.world, chosen, hart_id(1)) == expected);
  any.world.leave_everywhere(chosen.space());
}

TEST_CASE("the default is the first of the list") {
  Process<AnyPager> any;
  CHECK(&any.mm.traits() == AnyPager::choices().front());
}

TEST_CASE_TEMPLATE("a child has its parent's policy, and memory of its own", P, EVERY_PAGER) {
  Process<AnyPager> any;
  auto parent = *MmStruct<AnyPager>::create(AnyPager(choice_named(P::kTraits.name)));
  any.world.run(hart_id(1), parent.space());
  (void)presence(any.world, parent, hart_id(1));
  {
    Child<AnyPager> child(any.world, *parent.fork(), hart_id(2));
    CHECK(child.mm.traits().name == P::kTraits.name);
    const Va written = kStart + kPages / 2 * kPageSize;
    CHECK(child.read(written) == 7);
    CHECK(child.write(written, 8).has_value());
    CHECK(user_access(any.world, hart_id(1), parent, written, Access::Read) == 7);
  }
  any.world.leave_everywhere(parent.space());
}

TEST_SUITE_END();
