#pragma once
// Waiting on an address instead of on an object: a fixed table of buckets, each with the threads that wait
// for the keys that fall into it. Serves user futexes and platform::wait_while_equal.

#include <cstdint>

#include "kernel/lib/function_ref.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/lib/time.hpp"

namespace faultline::parking {

/// Whose word is waited for. A user's is read through page tables while the bucket is locked; the kernel's
/// waiters are also woken where page tables are. So the two have buckets, and ranks, of their own.
enum class Use : std::uint8_t { User, Kernel };

/// What is waited for: an object (a frame's address, a space's number, a kernel pointer) and an offset within
/// it.
struct Key {
  std::uint64_t object;
  std::uint64_t offset;
  Use use = Use::User;
  friend bool operator==(const Key&, const Key&) = default;
};

enum class Sleep : bool { Uninterruptible, Interruptible };

/// Sleeps until unpark(key) as long as `still_blocked` holds. It is evaluated once, under the bucket's spin
/// lock, so it may neither sleep nor fault; a waker that changes what it reads and then unparks cannot be
/// missed. `mask` is what unpark's mask is compared with. Errors: TryAgain (not blocked), TimedOut,
/// Interrupted.
[[nodiscard]] Result<> park(Key key, FunctionRef<bool()> still_blocked, Ticks deadline, Sleep mode,
                            std::uint32_t mask = UINT32_MAX);

/// Wakes at most `count` threads parked on `key` whose mask shares a bit with `mask`, in the order they came.
/// Returns their number.
unsigned unpark(Key key, unsigned count, std::uint32_t mask = UINT32_MAX);

struct Requeued {
  unsigned woken;
  unsigned moved;
};
/// Wakes at most `wake_count` threads parked on `from` and moves at most `move_count` of the others to `to`,
/// atomically with `still_valid`, which is evaluated under both buckets' locks. Error: TryAgain when it does
/// not hold.
[[nodiscard]] Result<Requeued> unpark_requeue(Key from, unsigned wake_count, Key to, unsigned move_count,
                                              FunctionRef<bool()> still_valid);

}  // namespace faultline::parking
