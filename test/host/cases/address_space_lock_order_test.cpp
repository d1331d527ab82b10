// The reader-writer lock of an address space, in every order of its steps.

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "kernel/lib/lock_rank.hpp"
#include "kernel/mm/hart_local.hpp"
#include "test/host/machine/machine.hpp"
#include "test/host/stepping.hpp"

namespace faultline::in_steps::platform {

using faultline::platform::current_hart;

using Word = stepping::atomic<std::uint32_t>;

/// How often each word's waiters were woken. Nobody wakes up without it, so that a lost wake-up is a
/// deadlock.
inline std::map<const Word*, unsigned> wakes;

inline void wait_while_equal(const Word& word, std::uint32_t expected) {
  if (word.peek() != expected) return;
  const unsigned before = wakes[&word];
  stepping::orders->wait_until([&word, before] { return wakes[&word] != before; });
}
inline void wake_waiters(const Word& word) { ++wakes[&word]; }

}  // namespace faultline::in_steps::platform

namespace faultline::in_steps {

/// For the harts that take part: a writer's look at the words of others would only multiply the orders.
template <class T>
class HartLocal {
 public:
  T& operator[](HartId hart) { return items_.at(static_cast<std::size_t>(hart)); }
  void for_each(auto&& f) {
    for (T& item : items_) f(item);
  }
  void for_each(auto&& f) const {
    for (const T& item : items_) f(item);
  }

 private:
  std::array<T, 2> items_;
};

}  // namespace faultline::in_steps

#define std stepping
#define faultline faultline::in_steps
#include "kernel/mm/address_space_lock.cpp"
#undef faultline
#undef std

namespace faultline::sim {
namespace {

using in_steps::AddressSpaceLock;
using stepping::step;

/// A lock, and who is inside.
struct Stage {
  AddressSpaceLock lock;
  unsigned readers = 0, writers = 0;

  void read() {
    const AddressSpaceLock::ReadGuard guard(lock);
    be_reader();
  }
  /// Whether it got in.
  bool try_read() {
    const std::optional<HartId> hart = lock.try_lock_shared();
    if (!hart) return false;
    const AddressSpaceLock::ReadGuard guard(lock, *hart);
    be_reader();
    return true;
  }
  void write() {
    const AddressSpaceLock::WriteGuard guard(lock);
    CHECK(readers + writers == 0);
    ++writers;
    step();
    --writers;
  }

 private:
  void be_reader() {
    CHECK(writers == 0);
    ++readers;
    step();
    --readers;
  }
};

/// Every order of two calls, each on a hart of its own; nobody waits for good, and the lock is free at the
/// end.
template <class First, class Second>
std::size_t run_all_orders(First first, Second second) {
  Machine machine(16);
  Interleavings orders;
  stepping::orders = &orders;
  std::optional<Stage> stage;
  const auto on = [&](unsigned hart, auto& work) {
    return [&, hart] {
      OnHart here(hart_id(hart));
      work(*stage);
    };
  };
  return orders.run_all(
      [&]() -> std::vector<Interleavings::Work> {
        stage.emplace();
        return {on(0, first), on(1, second)};
      },
      [&] {
        CHECK(stage->lock.is_free());
        stage.reset();
      });
}

void read(Stage& stage) { stage.read(); }
void try_read(Stage& stage) { stage.try_read(); }
void write(Stage& stage) { stage.write(); }

}  // namespace

TEST_SUITE_BEGIN("address space lock");

TEST_CASE("a reader and a writer are never inside together, and neither waits for good, in any order") {
  CHECK(run_all_orders(read, write) > 100);
}

TEST_CASE(
    "a reader that does not wait is never inside with a writer, which does not wait for good, in any order") {
  CHECK(run_all_orders(try_read, write) > 100);
}

TEST_CASE("two readers never wait for one another, in any order") {
  CHECK(run_all_orders(read, [](Stage& stage) { CHECK(stage.try_read()); }) > 10);
}

TEST_SUITE_END();

}  // namespace faultline::sim
