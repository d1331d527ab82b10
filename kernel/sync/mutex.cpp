#include "kernel/sync/mutex.hpp"

namespace faultline {

namespace {
constexpr std::uint32_t kFree = 0, kHeld = 1, kContended = 2;
}

void Mutex::lock() {
  may_sleep();
  std::uint32_t expected = kFree;
  if (!word_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire)) lock_contended();
}

void Mutex::lock_contended() {
  SpinGuard guard(lock_);
  // Taken as "contended" even when it was free: others may still wait behind us.
  while (word_.exchange(kContended, std::memory_order_acquire) != kFree) waiters_.sleep(guard);
}

void Mutex::unlock() {
  const std::uint32_t old = word_.exchange(kFree, std::memory_order_release);
  ASSERT(old != kFree);
  if (old != kContended) return;
  SpinGuard guard(lock_);
  waiters_.wake_one();
}

}  // namespace faultline
