#pragma once
// A lock for short critical sections that never sleep.
//
// The kernel is not preempted while it runs in supervisor mode (interrupts stay off until it returns to user
// mode, idles or reaches a preemption point), so a spin lock need not touch the interrupt state. A hart that
// waits for one calls cpu_relax(), where the kernel serves shootdown requests of other harts: the holder may
// be waiting for this very hart to fence.
//
// Ranks order the locks; lock_rank.hpp says how, and who checks it.

#include <atomic>
#include <cstdint>
#include <utility>

#include "kernel/lib/lock_rank.hpp"
#include "kernel/lib/panic.hpp"

namespace faultline {

/// Called in each turn of a spinning wait. Seam: the kernel serves shootdown requests, the host yields the
/// thread.
void cpu_relax() noexcept;

class SpinLock {
 public:
  explicit constexpr SpinLock(LockRank rank = LockRank::Leaf) : rank_(rank) {}
  SpinLock(const SpinLock&) = delete;
  SpinLock& operator=(const SpinLock&) = delete;

  void lock() noexcept {
    lock_rank_acquired(rank_);
    while (held_.exchange(1, std::memory_order_acquire) != 0) {
      // Wait on a plain load, so that waiting harts share the line until it is released.
      while (is_held()) cpu_relax();
    }
  }
  bool try_lock() noexcept {
    if (held_.exchange(1, std::memory_order_acquire) != 0) return false;
    lock_rank_acquired_without_waiting(rank_);
    return true;
  }
  void unlock() noexcept {
    ASSERT(is_held());
    lock_rank_released(rank_);
    held_.store(0, std::memory_order_release);
  }
  bool is_held() const noexcept { return held_.load(std::memory_order_relaxed) != 0; }

 private:
  std::atomic<std::uint32_t> held_ = 0;  // a word: RISC-V has no atomic exchange of bytes
  LockRank rank_;
};

/// Holds a SpinLock for a scope. Functions that need the lock take a `const SpinGuard&` as proof.
class [[nodiscard]] SpinGuard {
 public:
  explicit SpinGuard(SpinLock& lock) noexcept : lock_(&lock) { lock.lock(); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;
  ~SpinGuard() {
    if (lock_ != nullptr) lock_->unlock();
  }
  /// Releases early; the guard proves nothing afterwards.
  void release() noexcept { std::exchange(lock_, nullptr)->unlock(); }
  bool guards(const SpinLock& lock) const noexcept { return lock_ == &lock; }
  /// The lock that is held; for waits that release it and take it again (sync/wait_queue.hpp).
  SpinLock& lock() const noexcept { return *lock_; }

 private:
  SpinLock* lock_;
};

}  // namespace faultline
