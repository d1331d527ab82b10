#pragma once
// A lock that may be held while its holder sleeps: for long operations, disk access among them.
//
// Word: 0 free, 1 held, 2 held and someone may wait. Taking and releasing without contention is one atomic
// operation each. A waiter sets the word to 2 under `lock_` before it sleeps; a holder that finds 2 when it
// releases takes `lock_` and wakes one, so it cannot come between the waiter's decision and its sleep.

#include <atomic>
#include <cstdint>
#include <utility>

#include "kernel/lib/spin_lock.hpp"
#include "kernel/sync/wait_queue.hpp"

namespace faultline {

class Mutex {
 public:
  /// The rank tells the reader where the mutex stands among the sleeping locks; nothing checks it. All of
  /// them are taken before any spin lock, whatever its rank, and their order is in fs/inode.hpp.
  explicit Mutex(LockRank rank = LockRank::Leaf) : rank_(rank) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  /// Sleeps until the mutex is free and takes it. No spin lock may be held. Not recursive.
  void lock();
  void unlock();
  bool is_held() const { return word_.load(std::memory_order_relaxed) != 0; }
  LockRank rank() const { return rank_; }

 private:
  void lock_contended();

  std::atomic<std::uint32_t> word_ = 0;
  LockRank rank_;
  SpinLock lock_{LockRank::Condition};
  WaitQueue waiters_;
};

/// Holds a Mutex for a scope. Functions that need it take a `const MutexGuard&` as proof.
class [[nodiscard]] MutexGuard {
 public:
  explicit MutexGuard(Mutex& mutex) : mutex_(&mutex) { mutex.lock(); }
  MutexGuard(const MutexGuard&) = delete;
  MutexGuard& operator=(const MutexGuard&) = delete;
  ~MutexGuard() {
    if (mutex_ != nullptr) mutex_->unlock();
  }
  /// Releases early; the guard proves nothing afterwards.
  void release() { std::exchange(mutex_, nullptr)->unlock(); }
  bool guards(const Mutex& mutex) const { return mutex_ == &mutex; }
  Mutex& mutex() const { return *mutex_; }

 private:
  Mutex* mutex_;
};

}  // namespace faultline
