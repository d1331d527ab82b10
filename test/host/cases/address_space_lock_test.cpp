// The reader-writer lock of an address space: who waits for whom.

#include "kernel/mm/address_space_lock.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <thread>

#include "test/host/world.hpp"

using namespace faultline;
using namespace faultline::sim;

TEST_SUITE_BEGIN("address space lock");

// One side holds the lock until the other either sleeps, as it should, or has got in as well.

TEST_CASE("a writer waits until every reader has gone, on whatever hart it began") {
  World world;
  AddressSpaceLock lock;
  std::atomic<unsigned> readers = 0;
  std::atomic<bool> writer_is_in = false, seen_together = false;
  const auto read = [&] {
    const AddressSpaceLock::ReadGuard guard(lock);
    readers.fetch_add(1);
    while (!writer_is_in && world.machine.sleeping_threads() == 0) std::this_thread::yield();
    if (writer_is_in) seen_together = true;
  };
  const auto write = [&] {
    while (readers < 2) std::this_thread::yield();
    const AddressSpaceLock::WriteGuard guard(lock);
    writer_is_in = true;
  };
  world.machine.run_in_parallel({read, write, read});
  CHECK(writer_is_in);
  CHECK_FALSE(seen_together);
}

TEST_CASE("readers wait until the writer has gone, and so does the next writer") {
  World world;
  AddressSpaceLock lock;
  std::atomic<bool> writing = false;
  std::atomic<unsigned> others = 0, seen_together = 0;
  const auto write = [&] {
    const AddressSpaceLock::WriteGuard guard(lock);
    writing = true;
    while (others == 0 && world.machine.sleeping_threads() < 2) std::this_thread::yield();
    seen_together = others.load();
  };
  const auto read_then = [&] {
    while (!writing) std::this_thread::yield();
    const AddressSpaceLock::ReadGuard guard(lock);
    others.fetch_add(1);
  };
  const auto write_then = [&] {
    while (!writing) std::this_thread::yield();
    const AddressSpaceLock::WriteGuard guard(lock);
    others.fetch_add(1);
  };
  world.machine.run_in_parallel({write, read_then, write_then});
  CHECK(others == 2);
  CHECK(seen_together == 0);
}

TEST_CASE("readers do not wait for one another") {
  World world;
  AddressSpaceLock lock;
  const AddressSpaceLock::ReadGuard first(lock);
  OnHart here(hart_id(1));
  const std::optional<HartId> second = lock.try_lock_shared();
  REQUIRE(second.has_value());
  CHECK_FALSE(lock.is_free());
  const AddressSpaceLock::ReadGuard adopted(lock, *second);
}

TEST_SUITE_END();
