// The futex system call: its operations, and what their arguments mean.

#include "kernel/proc/futex.hpp"

#include "kernel/dev/clock.hpp"
#include "kernel/syscall/sleep_deadline.hpp"
#include "kernel/syscall/system_calls.hpp"

namespace faultline::system_call {

namespace {

enum Operation : std::uint32_t {
  kWait = 0,
  kWake = 1,
  kRequeue = 3,
  kCompareRequeue = 4,
  kWaitBits = 9,
  kWakeBits = 10
};
constexpr std::uint32_t kPrivate = 128, kRealTimeClock = 256;

// FUTEX_WAIT's timeout is a duration, FUTEX_WAIT_BITSET's a moment.
Result<Ticks> deadline_of(UserPointer<abi::TimeSpec> timeout, bool absolute, bool real_time) {
  if (timeout.null()) return Ticks::forever();
  const Ticks time = TRY(abi::to_ticks(TRY(timeout.read())));
  if (!absolute) return begin_wait(time);
  if (!real_time) return time;
  const std::uint64_t now = clock::nanoseconds_since_epoch();
  const std::uint64_t then = clock::to_nanoseconds(time);
  return clock::now() + clock::from_nanoseconds(then > now ? then - now : 0);
}

Value wait_for_word(Address word, futex::Scope scope, std::uint32_t expected, Ticks deadline,
                    std::uint32_t mask) {
  if (mask == 0) return failure(KernelError::InvalidArgument);
  const Result<> result = futex::wait(word, scope, expected, deadline, mask);
  end_wait(result, deadline);
  TRY(result);
  return 0;
}

}  // namespace

Value futex(Address word, std::uint32_t operation, std::uint32_t value, Address timeout_or_count,
            Address word2, std::uint32_t value3) {
  const futex::Scope scope = (operation & kPrivate) != 0 ? futex::Scope::Private : futex::Scope::Shared;
  const bool real_time = (operation & kRealTimeClock) != 0;
  const UserPointer<abi::TimeSpec> timeout(timeout_or_count);
  const auto second_count = static_cast<std::uint32_t>(timeout_or_count);
  // Counts are signed in the interface; a negative one wakes or moves nobody.
  const bool counts_valid =
      static_cast<std::int32_t>(value) >= 0 && static_cast<std::int32_t>(second_count) >= 0;
  switch (operation & ~(kPrivate | kRealTimeClock)) {
    case kWait:
      return wait_for_word(word, scope, value, TRY(deadline_of(timeout, false, real_time)), UINT32_MAX);
    case kWaitBits:
      return wait_for_word(word, scope, value, TRY(deadline_of(timeout, true, real_time)), value3);
    case kWake:
      return TRY(futex::wake(word, scope, value, UINT32_MAX));
    case kWakeBits:
      if (value3 == 0) return failure(KernelError::InvalidArgument);
      return TRY(futex::wake(word, scope, value, value3));
    case kRequeue:
      if (!counts_valid) return failure(KernelError::InvalidArgument);
      return TRY(futex::requeue(word, word2, scope, value, second_count, nullptr));
    case kCompareRequeue:
      if (!counts_valid) return failure(KernelError::InvalidArgument);
      return TRY(futex::requeue(word, word2, scope, value, second_count, &value3));
    default:
      return failure(KernelError::NotImplemented);
  }
}

}  // namespace faultline::system_call
