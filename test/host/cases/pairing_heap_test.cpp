// kernel/lib: the priority queue of timers and of threads that wait for their turn.

#include "kernel/lib/pairing_heap.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "test/host/machine/panic.hpp"

using namespace faultline;
using namespace faultline::sim;

TEST_SUITE_BEGIN("pairing heap");

namespace {

struct Item : PairingHeapNode<Item> {
  explicit Item(int value) : value(value) {}
  bool before(const Item& other) const { return value < other.value; }
  int value;
};

std::vector<int> take_all(PairingHeap<Item>& heap) {
  std::vector<int> values;
  while (Item* least = heap.least()) {
    values.push_back(least->value);
    heap.remove(*least);
  }
  return values;
}

}  // namespace

TEST_CASE("a heap yields its elements from the least up, in whatever order they came") {
  std::vector<int> order = {0, 1, 2, 3, 4, 5, 6};
  do {
    std::vector<Item> items(order.begin(), order.end());
    PairingHeap<Item> heap;
    for (Item& item : items) heap.insert(item);
    CHECK(take_all(heap) == std::vector<int>{0, 1, 2, 3, 4, 5, 6});
    CHECK(heap.empty());
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("any element leaves a heap, and only that one") {
  for (int gone = 0; gone < 9; ++gone) {
    // A few leave from the top first, so that the others stand at every depth.
    for (int taken = 0; taken <= gone; ++taken) {
      std::vector<Item> items;
      for (int value = 0; value < 9; ++value) items.emplace_back(value);
      PairingHeap<Item> heap;
      for (int i = 0; i < 9; ++i) heap.insert(items[static_cast<std::size_t>(i * 5 % 9)]);
      for (int i = 0; i < taken; ++i) heap.remove(*heap.least());
      std::vector<int> left;
      for (int value = taken; value < 9; ++value) {
        CHECK(heap.contains(items[static_cast<std::size_t>(value)]));
        if (value != gone) left.push_back(value);
      }
      Item& leaving = items[static_cast<std::size_t>(gone)];
      heap.remove(leaving);
      CHECK_FALSE(heap.contains(leaving));
      CHECK(take_all(heap) == left);
    }
  }
}

TEST_CASE("elements that come, leave and come back agree with a sorted list") {
  std::minstd_rand random(1);
  std::vector<Item> items;
  for (int value = 0; value < 40; ++value) items.emplace_back(value);
  std::vector<int> inside;
  PairingHeap<Item> heap;
  for (int step = 0; step < 20'000; ++step) {
    Item& item = items[random() % items.size()];
    const auto place = std::lower_bound(inside.begin(), inside.end(), item.value);
    const bool is_inside = place != inside.end() && *place == item.value;
    REQUIRE(heap.contains(item) == is_inside);
    if (is_inside) {
      heap.remove(item);
      inside.erase(place);
    } else {
      heap.insert(item);
      inside.insert(place, item.value);
    }
    REQUIRE(heap.empty() == inside.empty());
    if (!inside.empty()) REQUIRE(heap.least()->value == inside.front());
  }
  CHECK(take_all(heap) == inside);
}

TEST_CASE("equal elements all come out") {
  Item first(1), second(1), third(1);
  PairingHeap<Item> heap;
  for (Item* item : {&first, &second, &third}) heap.insert(*item);
  CHECK(take_all(heap) == std::vector<int>{1, 1, 1});
}

TEST_CASE("an element that is inserted twice, removed from where it is not, or outlived, panics") {
  Item item(1), other(2);
  PairingHeap<Item> heap;
  heap.insert(item);
  CHECK(panic_of([&] { heap.insert(item); }).has_value());
  CHECK(panic_of([&] { heap.remove(other); }).has_value());
  CHECK(panic_of([] {
          Item left(1);
          PairingHeap<Item> dying;
          dying.insert(left);
        }).has_value());
  heap.remove(item);
}

TEST_SUITE_END();
