// The order of spin locks is checked: what the checker must find, and what it must let pass.

#include <doctest/doctest.h>

#include "kernel/lib/spin_lock.hpp"
#include "kernel/mm/page_table.hpp"
#include "test/host/machine/panic.hpp"

using namespace faultline;
using sim::panic_of;

namespace {
using Message = std::optional<std::string>;
}

TEST_SUITE_BEGIN("lock ranks");

TEST_CASE("locks taken in the order of their ranks, and released in any, are right") {
  CHECK(!panic_of([] {
    HeldRanks held;
    held.acquire(LockRank::Process);
    held.acquire(LockRank::WaitQueue);
    held.acquire(LockRank::Scheduler);
    held.release(LockRank::WaitQueue);
    held.release(LockRank::Process);
    held.release(LockRank::Scheduler);
    held.check_none_held();
    held.acquire(LockRank::Process);
  }));
}

TEST_CASE("a lock of a lower rank, or of the same, is refused with both names") {
  for (const LockRank wanted : {LockRank::Process, LockRank::WaitQueue}) {
    CAPTURE(name_of(wanted));
    const Message message = panic_of([&] {
      HeldRanks held;
      held.acquire(LockRank::WaitQueue);
      held.acquire(wanted);
    });
    CHECK(message ==
          "lock of rank " + std::string(name_of(wanted)) + " wanted while one of rank WaitQueue is held");
  }
}

TEST_CASE("the highest rank held counts, not the one taken last") {
  CHECK(panic_of([] {
          HeldRanks held;
          held.acquire(LockRank::Heap);
          held.acquire_without_waiting(LockRank::Process);
          held.acquire(LockRank::WaitQueue);
        }) == "lock of rank WaitQueue wanted while one of rank Heap is held");
}

TEST_CASE("a lock got without waiting may have any rank") {
  CHECK(!panic_of([] {
    HeldRanks held;
    held.acquire(LockRank::WaitQueue);
    held.acquire_without_waiting(LockRank::WaitQueue);
    held.release(LockRank::WaitQueue);
    held.release(LockRank::WaitQueue);
    held.check_none_held();
  }));
}

TEST_CASE("sleeping is refused as long as any lock is held") {
  CHECK(panic_of([] {
          HeldRanks held;
          held.acquire(LockRank::Inode);
          held.check_none_held();
        }) == "a thread may sleep while a lock of rank Inode is held");
}

TEST_CASE("releasing what is not held is refused") {
  CHECK(panic_of([] {
    HeldRanks held;
    held.acquire(LockRank::Inode);
    held.release(LockRank::Heap);
  }));
}

TEST_CASE("every lock of the core reports to the checker") {
  CHECK(panic_of([] {
          SpinLock outer{LockRank::PageTable}, inner{LockRank::Heap};
          const SpinGuard second(inner);
          const SpinGuard first(outer);
        }) == "lock of rank PageTable wanted while one of rank Heap is held");
  CHECK(panic_of([] {
          FrameInfo table, other;
          const TableGuard guard(table);
          const TableGuard same(other);
        }) == "lock of rank PageTable wanted while one of rank PageTable is held");
  CHECK(panic_of([] {
          SpinLock lock{LockRank::PageTable};
          const SpinGuard guard(lock);
          may_sleep();
        }) == "a thread may sleep while a lock of rank PageTable is held");
  CHECK(!panic_of([] {
    SpinLock outer{LockRank::Inode};
    FrameInfo upper, last;
    const SpinGuard guard(outer);
    const UpperTableGuard upper_guard(upper);
    const TableGuard table_guard(last);
  }));
}

TEST_SUITE_END();
