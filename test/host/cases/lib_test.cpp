// kernel/lib: results, lists, vectors, reference counts, locks.

#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "kernel/lib/list.hpp"
#include "kernel/lib/ref.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/lib/vector.hpp"
#include "kernel/mm/address.hpp"
#include "test/host/machine/machine.hpp"
#include "test/host/machine/panic.hpp"

using namespace faultline;
using namespace faultline::sim;

TEST_SUITE_BEGIN("lib");

namespace {

Result<int> positive(int value) {
  if (value <= 0) return failure(KernelError::InvalidArgument);
  return value;
}
Result<int> doubled(int value) { return 2 * TRY(positive(value)); }
Result<> only_checked(int value) {
  TRY(positive(value));
  return {};
}

struct Element : ListNode<> {
  explicit Element(int value) : value(value) {}
  int value;
};

std::string values(const List<Element>& list) {
  std::string all;
  for (const Element& element : list) all += std::to_string(element.value);
  return all;
}

struct Counted : RefCounted {
  explicit Counted(int& destroyed) : destroyed(destroyed) {}
  ~Counted() override { ++destroyed; }
  int& destroyed;
};

/// Counts its living copies.
struct Tracked {
  static inline int alive = 0;
  int value = 0;
  Tracked() { ++alive; }
  explicit Tracked(int value) : value(value) { ++alive; }
  Tracked(Tracked&& other) noexcept : value(other.value) { ++alive; }
  Tracked& operator=(Tracked&&) = default;
  ~Tracked() { --alive; }
};

}  // namespace

TEST_CASE("TRY yields the value, or returns the error to the caller") {
  CHECK(doubled(4) == 8);
  CHECK(doubled(-4).error() == KernelError::InvalidArgument);
  CHECK(only_checked(1).has_value());
  CHECK(only_checked(0).error() == KernelError::InvalidArgument);
}

TEST_CASE("every error has the Linux errno and words of its own") {
  CHECK(to_errno(KernelError::NotPermitted) == 1);
  CHECK(to_errno(KernelError::OutOfMemory) == 12);
  CHECK(to_errno(KernelError::BadAddress) == 14);
  CHECK(to_errno(KernelError::AlreadyMapped) == 17);
  CHECK(to_errno(KernelError::InvalidArgument) == 22);
  CHECK(to_errno(KernelError::NotImplemented) == 38);
  CHECK(describe(KernelError::OutOfMemory) == "out of memory");
  CHECK(describe(KernelError::AlreadyMapped) == "address range is already mapped");
}

TEST_CASE("a list keeps order, and an element leaves it without knowing it") {
  Element one(1), two(2), three(3);
  {
    List<Element> list;
    CHECK(list.empty());
    CHECK(list.pop_front() == nullptr);
    list.push_back(two);
    list.push_back(three);
    list.push_front(one);
    CHECK(values(list) == "123");
    CHECK(&list.front() == &one);
    CHECK(&list.back() == &three);
    two.unlink();
    CHECK_FALSE(two.linked());
    CHECK(values(list) == "13");
    list.push_back(two);
    CHECK(list.pop_front() == &one);
    CHECK(values(list) == "32");
    three.unlink();
    two.unlink();
    CHECK(list.empty());
  }
}

TEST_CASE("a list element that dies in a list, or enters two at once, panics") {
  CHECK(panic_of([] {
          List<Element> list;
          Element element(1);
          list.push_back(element);
        }).has_value());
  CHECK(panic_of([] {
          List<Element> first, second;
          Element element(1);
          first.push_back(element);
          second.push_back(element);
        }).has_value());
}

TEST_CASE("a vector grows, moves its elements and destroys each once") {
  Machine machine;
  {
    Vector<Tracked> vector;
    for (int i = 0; i < 100; ++i) CHECK(vector.push_back(Tracked(i)).has_value());
    CHECK(vector.size() == 100);
    CHECK(Tracked::alive == 100);
    for (int i = 0; i < 100; ++i) CHECK(vector[static_cast<std::size_t>(i)].value == i);
    vector.pop_back();
    CHECK(vector.back().value == 98);
    Vector<Tracked> moved = std::move(vector);
    CHECK(moved.size() == 99);
    CHECK(moved.resize(10).has_value());
    CHECK(Tracked::alive == 10);
    CHECK(moved.resize(12).has_value());
    CHECK(moved[11].value == 0);
    CHECK(moved[9].value == 9);
  }
  CHECK(Tracked::alive == 0);
}

TEST_CASE("a vector whose growth fails keeps its contents") {
  Machine machine;
  Vector<int> vector;
  for (int i = 0; i < 4; ++i) CHECK(vector.push_back(i).has_value());
  machine.fail_allocation(1);
  CHECK(vector.push_back(4).error() == KernelError::OutOfMemory);
  CHECK(vector.size() == 4);
  CHECK(vector[3] == 3);
  CHECK(vector.reserve(SIZE_MAX / 2).error() == KernelError::OutOfMemory);
  CHECK(vector.push_back(4).has_value());
  CHECK(panic_of([&] { vector[5] = 1; }).has_value());
  CHECK(panic_of([&] { static_cast<void>(std::as_const(vector)[5]); }).has_value());
}

TEST_CASE("a vector never asks for fewer bytes than its elements take") {
  Machine machine;
  Vector<std::uint64_t> vector;
  // So many that their bytes wrap around to a page.
  CHECK(vector.reserve(SIZE_MAX / sizeof(std::uint64_t) + 1 + kPageSize / sizeof(std::uint64_t)).error() ==
        KernelError::OutOfMemory);
}

TEST_CASE("a vector assigned over another takes its elements and its memory, and frees the old ones") {
  Machine machine;
  {
    Vector<Tracked> vector, other;
    for (int i = 0; i < 5; ++i) CHECK(vector.push_back(Tracked(i)).has_value());
    for (int i = 0; i < 20; ++i) CHECK(other.push_back(Tracked(100 + i)).has_value());
    vector = std::move(other);
    CHECK(Tracked::alive == 20);
    CHECK(vector.size() == 20);
    CHECK(vector.back().value == 119);
    for (int i = 0; i < 20; ++i) CHECK(vector.push_back(Tracked(i)).has_value());
    CHECK(vector[19].value == 119);
    vector = Vector<Tracked>();
    CHECK(Tracked::alive == 0);
    CHECK(vector.empty());
  }
  CHECK(machine.objects_in_use() == 0);
}

TEST_CASE("the last reference destroys the object, a weak one cannot revive it") {
  Machine machine;
  int destroyed = 0;
  {
    Ref<Counted> first = *make_ref<Counted>(destroyed);
    Ref<Counted> second = first;
    CHECK(first == second);
    CHECK(first->references() == 2);
    first = nullptr;
    CHECK(destroyed == 0);
    CHECK(second->try_acquire_reference());
    Ref<Counted> third = Ref<Counted>::adopt(second.get());
    Ref<RefCounted> base = std::move(third);
    CHECK(second->references() == 2);
  }
  CHECK(destroyed == 1);
  CHECK(machine.objects_in_use() == 0);
  machine.fail_allocation(1);
  CHECK(make_ref<Counted>(destroyed).error() == KernelError::OutOfMemory);
  machine.fail_allocation(1);
  CHECK(make_box<int>(1).error() == KernelError::OutOfMemory);
}

TEST_CASE("what has lost its last reference gives no new one, while it is not yet destroyed") {
  struct Dying : RefCounted {
    explicit Dying(bool& revived) : revived(revived) {}
    void last_reference_dropped() override {
      revived = try_acquire_reference();
      destroy();
    }
    bool& revived;
  };
  Machine machine;
  bool revived = true;
  static_cast<void>(make_ref<Dying>(revived));
  CHECK_FALSE(revived);
}

TEST_CASE("references taken and dropped by several threads add up") {
  Machine machine;
  int destroyed = 0;
  Ref<Counted> object = *make_ref<Counted>(destroyed);
  auto work = [&] {
    for (int i = 0; i < 10000; ++i) Ref<Counted> copy = object;
  };
  machine.run_in_parallel({work, work, work});
  CHECK(object->references() == 1);
  object = nullptr;
  CHECK(destroyed == 1);
}

TEST_CASE("a spin lock that is tried, not waited for, may have any rank, and counts as held") {
  CHECK_FALSE(panic_of([] {
                SpinLock inner(LockRank::Heap), outer(LockRank::Process);
                const SpinGuard guard(inner);
                if (!outer.try_lock()) return;
                outer.unlock();
              }).has_value());
  CHECK(panic_of([] {
          SpinLock lock(LockRank::Process);
          if (lock.try_lock()) may_sleep();
        }).has_value());
  CHECK(panic_of([] {
          SpinLock lock(LockRank::Process);
          if (!lock.try_lock()) return;
          lock.unlock();
          lock.unlock();
        }).has_value());
}

TEST_CASE("a spin lock admits one thread at a time") {
  Machine machine;
  SpinLock lock;
  long counter = 0;
  auto work = [&] {
    for (int i = 0; i < 5000; ++i) {
      SpinGuard guard(lock);
      ++counter;
    }
  };
  machine.run_in_parallel({work, work});
  CHECK(counter == 10000);
  CHECK(lock.try_lock());
  CHECK_FALSE(lock.try_lock());
  CHECK(lock.is_held());
  lock.unlock();
  SpinGuard guard(lock);
  CHECK(guard.guards(lock));
  guard.release();
  CHECK_FALSE(lock.is_held());
  CHECK(panic_of([&] { lock.unlock(); }).has_value());
}

TEST_SUITE_END();
