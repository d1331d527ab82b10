// The index of areas: ordered, balanced, and able to find free space.

#include <doctest/doctest.h>

#include <map>
#include <random>

#include "kernel/mm/vm_area.hpp"
#include "test/host/world.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

/// An index whose areas belong to a space that nothing runs.
class Areas {
 public:
  ~Areas() {
    while (VmArea* area = index.first()) index.remove(*area);
  }
  VmArea& add(std::uint64_t first_page, std::uint64_t pages, std::uint64_t first_index = 0) {
    auto area = make_box<VmArea>(space, pages_at(first_page, pages), Permission::read(), Sharing::Private,
                                 AnyLoader(AnonLoader()), first_index, ++mappings);
    VmArea& added = **area;
    index.insert(*std::move(area));
    return added;
  }
  static VaRange pages_at(std::uint64_t first, std::uint64_t count) {
    return *VaRange::from(first * kPageSize, count * kPageSize);
  }
  static Va page(std::uint64_t number) { return Va::checked(number * kPageSize); }

  Frame root = *Frame::allocate(FrameContents::Zeroed);
  Space space{root.pa()};
  AreaIndex index;
  std::uint64_t mappings = 0;
};

const VaRange kEverywhere = *VaRange::from(kPageSize, kUserEnd - kPageSize);

/// Start page and number of pages of every area, in the order of the index.
std::vector<std::pair<std::uint64_t, std::uint64_t>> listing(const AreaIndex& index) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> all;
  for (const VmArea* area = index.first(); area != nullptr; area = AreaIndex::next(*area)) {
    all.emplace_back(area->start().value() / kPageSize, area->range().pages());
  }
  return all;
}

}  // namespace

TEST_SUITE_BEGIN("areas");

TEST_CASE("an area is found by every address in it and by none beside it") {
  World world;
  Areas areas;
  VmArea& area = areas.add(10, 3);
  CHECK(areas.index.find(Areas::page(9) + (kPageSize - 1)) == nullptr);
  CHECK(areas.index.find(Areas::page(10)) == &area);
  CHECK(areas.index.find(Areas::page(12) + (kPageSize - 1)) == &area);
  CHECK(areas.index.find(Areas::page(13)) == nullptr);
  CHECK(areas.index.first_overlapping(Areas::pages_at(0, 10)) == nullptr);
  CHECK(areas.index.first_overlapping(Areas::pages_at(0, 11)) == &area);
  CHECK(areas.index.first_overlapping(Areas::pages_at(13, 1)) == nullptr);
  CHECK(areas.index.first_ending_after(Areas::page(12)) == &area);
  CHECK(areas.index.first_ending_after(Areas::page(13)) == nullptr);
}

TEST_CASE("areas are visited in the order of their addresses, both ways") {
  World world;
  Areas areas;
  for (std::uint64_t start : {50, 10, 90, 30, 70}) areas.add(start, 5);
  CHECK(listing(areas.index) == decltype(listing(areas.index)){{10, 5}, {30, 5}, {50, 5}, {70, 5}, {90, 5}});
  std::uint64_t expected = 90;
  for (const VmArea* area = areas.index.last(); area != nullptr; area = AreaIndex::previous(*area)) {
    CHECK(area->start() == Areas::page(expected));
    expected -= 20;
  }
  CHECK(areas.index.count() == 5);
  areas.index.check();
}

TEST_CASE("a split area keeps the page index of each half") {
  World world;
  Areas areas;
  VmArea& area = areas.add(10, 10, 100);
  auto node = area.copy_for(areas.space, area.range());
  REQUIRE(node.has_value());
  areas.index.split(area, Areas::page(14), *std::move(node));
  CHECK(listing(areas.index) == decltype(listing(areas.index)){{10, 4}, {14, 6}});
  VmArea* upper = areas.index.find(Areas::page(14));
  REQUIRE(upper != nullptr);
  CHECK(upper->page_index(Areas::page(14)) == 104);
  CHECK(upper->page_index(Areas::page(19)) == 109);
  CHECK(area.page_index(Areas::page(13)) == 103);
  CHECK(upper->mapping() == area.mapping());
  CHECK(upper->permission() == area.permission());
  areas.index.check();
}

TEST_CASE("moving an area's start moves its page index along") {
  World world;
  Areas areas;
  VmArea& area = areas.add(10, 10, 100);
  areas.index.set_range(area, Areas::pages_at(13, 5));
  CHECK(area.page_index(Areas::page(13)) == 103);
  areas.index.set_range(area, Areas::pages_at(11, 9));
  CHECK(area.page_index(Areas::page(11)) == 101);
  areas.index.check();
}

TEST_CASE("a node that cannot be had is OutOfMemory and changes nothing") {
  World world;
  Areas areas;
  VmArea& area = areas.add(10, 10);
  world.machine.fail_allocation(1);
  CHECK(area.copy_for(areas.space, area.range()).error() == KernelError::OutOfMemory);
  CHECK(areas.index.count() == 1);
}

TEST_CASE("the highest free range that fits is found") {
  World world;
  Areas areas;
  CHECK(areas.index.highest_free(kPageSize, kEverywhere)->end().value() == kUserEnd);
  areas.add(1000, 10);
  areas.add(500, 100);
  const VaRange bounds = Areas::pages_at(10, 1000);  // to page 1010
  CHECK(areas.index.highest_free(kPageSize, bounds) == Areas::pages_at(999, 1));
  CHECK(areas.index.highest_free(400 * kPageSize, bounds) == Areas::pages_at(600, 400));
  CHECK(areas.index.highest_free(401 * kPageSize, bounds) == Areas::pages_at(99, 401));
  CHECK_FALSE(areas.index.highest_free(491 * kPageSize, bounds).has_value());
  CHECK(areas.index.highest_free(490 * kPageSize, bounds) == Areas::pages_at(10, 490));
  CHECK_FALSE(areas.index.highest_free(kUserEnd, kEverywhere).has_value());
  CHECK_FALSE(areas.index.highest_free(kPageSize, Areas::pages_at(1000, 10)).has_value());
  CHECK(areas.index.highest_free(5 * kPageSize, Areas::pages_at(995, 100)) == Areas::pages_at(1090, 5));
}

TEST_CASE("the gap around free space reaches from area to area") {
  World world;
  Areas areas;
  areas.add(10, 10);
  areas.add(50, 10);
  CHECK(areas.index.gap_around(Areas::pages_at(30, 1)) == Areas::pages_at(20, 30));
  CHECK(areas.index.gap_around(Areas::pages_at(5, 1)) == Areas::pages_at(0, 10));
  CHECK(areas.index.gap_around(Areas::pages_at(100, 1)).start() == Areas::page(60));
  CHECK(areas.index.gap_around(Areas::pages_at(100, 1)).end().value() == kUserEnd);
}

TEST_CASE("random insertions, removals, splits and moves agree with an ordered map") {
  World world;
  std::mt19937_64 random(7);
  Areas areas;
  std::map<std::uint64_t, std::uint64_t> model;  // start page → pages
  constexpr std::uint64_t kSpan = 4000;
  auto free_in_model = [&](std::uint64_t first, std::uint64_t last) {
    auto next = model.lower_bound(first);
    if (next != model.end() && next->first < last) return false;
    return next == model.begin() || std::prev(next)->first + std::prev(next)->second <= first;
  };
  for (int step = 0; step < 20000; ++step) {
    const std::uint64_t page = random() % kSpan + 1, pages = random() % 20 + 1;
    VmArea* area = areas.index.find(Areas::page(page));
    auto in_model = model.upper_bound(page);
    const bool mapped =
        in_model != model.begin() && std::prev(in_model)->first + std::prev(in_model)->second > page;
    REQUIRE((area != nullptr) == mapped);
    switch (random() % 4) {
      case 0:
      case 1:
        if (free_in_model(page, page + pages)) {
          areas.add(page, pages);
          model[page] = pages;
        }
        break;
      case 2:
        if (area != nullptr && area->start().value() / kPageSize < page) {
          auto old = std::prev(in_model);
          areas.index.split(*area, Areas::page(page), *area->copy_for(areas.space, area->range()));
          model[page] = old->first + old->second - page;
          old->second = page - old->first;
        }
        break;
      case 3:
        if (area != nullptr) {
          model.erase(area->start().value() / kPageSize);
          areas.index.remove(*area);
        }
        break;
    }
    if (step % 64 == 0) {
      areas.index.check();
      REQUIRE(listing(areas.index) == decltype(listing(areas.index))(model.begin(), model.end()));
      const std::uint64_t wanted = random() % 60 + 1;
      std::optional<std::uint64_t> best;
      std::uint64_t top = kSpan + 40;
      for (auto area_in_model = model.rbegin();; ++area_in_model) {
        const bool at_end = area_in_model == model.rend();
        const std::uint64_t below = at_end ? 1 : area_in_model->first + area_in_model->second;
        if (below + wanted <= top) {
          best = top - wanted;
          break;
        }
        if (at_end) break;
        top = area_in_model->first;
      }
      const auto found = areas.index.highest_free(wanted * kPageSize, Areas::pages_at(1, kSpan + 39));
      REQUIRE(found.has_value() == best.has_value());
      if (best) REQUIRE(found->start() == Areas::page(*best));
    }
  }
}

TEST_CASE("10^5 areas stand in one index, and each is found") {
  World world;
  Areas areas;
  constexpr std::uint64_t kCount = 100'000;
  for (std::uint64_t i = 0; i < kCount; ++i) areas.add(1 + 3 * ((i * 48271) % kCount), 2);
  areas.index.check();
  CHECK(areas.index.count() == kCount);
  for (std::uint64_t i = 0; i < kCount; i += 97) {
    REQUIRE(areas.index.find(Areas::page(1 + 3 * i)) != nullptr);
    REQUIRE(areas.index.find(Areas::page(3 + 3 * i)) == nullptr);
  }
  CHECK(areas.index.highest_free(kPageSize, Areas::pages_at(1, 3 * kCount - 1)) ==
        Areas::pages_at(3 * kCount - 3, 1));
}

TEST_SUITE_END();
