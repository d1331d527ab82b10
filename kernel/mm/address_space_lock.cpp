#include "kernel/mm/address_space_lock.hpp"

namespace faultline {

bool AddressSpaceLock::is_free() const noexcept {
  bool free = writer_.load() == kFree;
  readers_.for_each([&](const std::atomic<std::uint32_t>& readers) { free = free && readers.load() == 0; });
  return free;
}

void AddressSpaceLock::lock() noexcept {
  may_sleep();
  std::uint32_t seen = kFree;
  if (!writer_.compare_exchange_strong(seen, kHeld)) {
    // Whoever gets the lock after waiting cannot know whether others still wait, and assumes so.
    while (writer_.exchange(kHeldAndWaitedFor) != kFree)
      platform::wait_while_equal(writer_, kHeldAndWaitedFor);
  }
  readers_.for_each([](std::atomic<std::uint32_t>& readers) {
    while (const std::uint32_t left = readers.load()) platform::wait_while_equal(readers, left);
  });
}

void AddressSpaceLock::unlock() noexcept {
  if (writer_.exchange(kFree) == kHeldAndWaitedFor) platform::wake_waiters(writer_);
}

HartId AddressSpaceLock::wait_and_lock_shared() noexcept {
  for (;;) {
    std::uint32_t seen = kHeld;
    writer_.compare_exchange_strong(seen, kHeldAndWaitedFor);
    if (seen != kFree) platform::wait_while_equal(writer_, kHeldAndWaitedFor);
    if (const std::optional<HartId> hart = try_lock_shared()) return *hart;
  }
}

}  // namespace faultline
