// Buckets of parked threads. Each bucket's lock plays the part of the lock L in wait_queue.hpp's timeline:
// the predicate is evaluated under it, and wakers take it after they have changed what the predicate reads.

#include "kernel/sync/parking.hpp"

#include <array>
#include <atomic>

#include "kernel/lib/list.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/mm/platform.hpp"
#include "kernel/sched/scheduler.hpp"
#include "kernel/sync/alarm.hpp"

namespace faultline {

namespace parking {

namespace {

struct Bucket;

/// On the parked thread's stack; touched only under the lock of the bucket it stands in.
struct Parked : ListNode<> {
  Parked(Thread& parked, Key parked_key, std::uint32_t parked_mask)
      : thread(parked), key(parked_key), mask(parked_mask) {}
  Thread& thread;
  Key key;
  const std::uint32_t mask;
  std::atomic<Bucket*> bucket = nullptr;  // changed by unpark_requeue, under both locks
};

struct alignas(64) Bucket {
  explicit Bucket(LockRank rank) : lock(rank) {}
  SpinLock lock;
  List<Parked> threads;
};

template <LockRank kRank>
struct RankedBucket : Bucket {
  RankedBucket() : Bucket(kRank) {}
};

constexpr std::size_t kBuckets = 256;
std::array<RankedBucket<LockRank::Futex>, kBuckets> user_buckets;
std::array<RankedBucket<LockRank::WaitQueue>, kBuckets> kernel_buckets;

Bucket& bucket_of(const Key& key) {
  // Fibonacci hashing: the high bits of a product with 2^64 / φ.
  const std::uint64_t mixed = (key.object + key.offset * 0x10001) * 0x9e3779b97f4a7c15;
  if (key.use == Use::User) return user_buckets[mixed >> 56];
  return kernel_buckets[mixed >> 56];
}
static_assert(kBuckets == 256);

/// Takes the thread out of whichever bucket it stands in now. True when a waker had done so before.
bool leave_bucket(Parked& parked) {
  for (;;) {
    Bucket* const bucket = parked.bucket.load();
    SpinGuard guard(bucket->lock);
    // It may have been moved between the two lines.
    if (parked.bucket.load() != bucket) continue;
    if (!parked.linked()) return true;
    parked.unlink();
    return false;
  }
}

/// Takes two buckets' locks, the lower address first. Both may be one. They have one rank, so the second is
/// taken without the rank's check, which would find no order between them.
class TwoBuckets {
 public:
  TwoBuckets(Bucket& a, Bucket& b) : first_(&a < &b ? a : b), second_(&a < &b ? b : a) {
    first_.lock.lock();
    if (&first_ == &second_) return;
    while (!second_.lock.try_lock()) cpu_relax();
  }
  TwoBuckets(const TwoBuckets&) = delete;
  TwoBuckets& operator=(const TwoBuckets&) = delete;
  ~TwoBuckets() {
    if (&first_ != &second_) second_.lock.unlock();
    first_.lock.unlock();
  }

 private:
  Bucket& first_;
  Bucket& second_;
};

}  // namespace

Result<> park(Key key, FunctionRef<bool()> still_blocked, Ticks deadline, Sleep mode, std::uint32_t mask) {
  may_sleep();
  Thread& thread = Thread::current();
  const bool interruptible = mode == Sleep::Interruptible;
  Parked parked(thread, key, mask);
  Bucket& bucket = bucket_of(key);
  {
    SpinGuard guard(bucket.lock);
    if (!still_blocked()) return failure(KernelError::TryAgain);
    parked.bucket.store(&bucket);
    bucket.threads.push_back(parked);
    scheduler::begin_block(interruptible);
  }
  {
    WakeUpAlarm alarm(thread, deadline);
    if (interruptible && thread.signal_pending.load()) {
      scheduler::cancel_block();
    } else {
      scheduler::block();
    }
  }
  if (leave_bucket(parked)) return {};
  if (interruptible && thread.signal_pending.load()) return failure(KernelError::Interrupted);
  if (deadline <= clock::now()) return failure(KernelError::TimedOut);
  return {};
}

unsigned unpark(Key key, unsigned count, std::uint32_t mask) {
  Bucket& bucket = bucket_of(key);
  SpinGuard guard(bucket.lock);
  unsigned woken = 0;
  for (auto next = bucket.threads.begin(); next != bucket.threads.end() && woken < count;) {
    Parked& parked = *next++;
    if (parked.key != key || (parked.mask & mask) == 0) continue;
    parked.unlink();
    scheduler::wake(parked.thread);
    ++woken;
  }
  return woken;
}

Result<Requeued> unpark_requeue(Key from, unsigned wake_count, Key to, unsigned move_count,
                                FunctionRef<bool()> still_valid) {
  Bucket& source = bucket_of(from);
  Bucket& target = bucket_of(to);
  TwoBuckets locked(source, target);
  if (!still_valid()) return failure(KernelError::TryAgain);
  Requeued result{0, 0};
  for (auto next = source.threads.begin(); next != source.threads.end();) {
    Parked& parked = *next++;
    if (parked.key != from) continue;
    if (result.woken < wake_count) {
      parked.unlink();
      scheduler::wake(parked.thread);
      ++result.woken;
    } else if (result.moved < move_count) {
      parked.key = to;
      ++result.moved;
      if (&source == &target) continue;
      parked.unlink();
      target.threads.push_back(parked);
      parked.bucket.store(&target);
    } else {
      break;
    }
  }
  return result;
}

}  // namespace parking

namespace platform {

namespace {
parking::Key key_of(const std::atomic<std::uint32_t>& word) {
  return {reinterpret_cast<std::uintptr_t>(&word), 0, parking::Use::Kernel};
}
}  // namespace

void wait_while_equal(const std::atomic<std::uint32_t>& word, std::uint32_t expected) noexcept {
  (void)parking::park(
      key_of(word), [&] { return word.load() == expected; }, Ticks::forever(),
      parking::Sleep::Uninterruptible);
}

void wake_waiters(const std::atomic<std::uint32_t>& word) noexcept {
  parking::unpark(key_of(word), UINT32_MAX);
}

}  // namespace platform
}  // namespace faultline
