// Clocks, sleeping, timers.

#include "kernel/dev/clock.hpp"
#include "kernel/proc/exit.hpp"
#include "kernel/proc/process.hpp"
#include "kernel/syscall/sleep_deadline.hpp"
#include "kernel/syscall/system_calls.hpp"

namespace faultline::system_call {

namespace {

enum ClockId : std::int32_t {
  kRealTime = 0,
  kMonotonic = 1,
  kProcessTime = 2,
  kThreadTime = 3,
  kMonotonicRaw = 4,
  kRealTimeCoarse = 5,
  kMonotonicCoarse = 6,
  kBootTime = 7,
};

// What clock_settime has added to the board's clock, in nanoseconds; it may be negative.
std::atomic<std::int64_t> real_time_offset = 0;

std::uint64_t real_time() {
  return clock::nanoseconds_since_epoch() +
         static_cast<std::uint64_t>(real_time_offset.load(std::memory_order_relaxed));
}

abi::TimeSpec from_nanoseconds(std::uint64_t nanoseconds) {
  return {.seconds = static_cast<std::int64_t>(nanoseconds / kNanosecondsPerSecond),
          .nanoseconds = static_cast<std::int64_t>(nanoseconds % kNanosecondsPerSecond)};
}

Result<abi::TimeSpec> read_clock(std::int32_t id) {
  switch (id) {
    case kRealTime:
    case kRealTimeCoarse:
      return from_nanoseconds(real_time());
    case kMonotonic:
    case kMonotonicRaw:
    case kMonotonicCoarse:
    case kBootTime:
      return abi::to_time_spec(clock::now());
    case kProcessTime: {
      SpinGuard guard(process_lock);
      const ResourceUsage usage = usage_of(Process::current(), guard);
      return abi::to_time_spec(Ticks(usage.user_ticks + usage.system_ticks));
    }
    case kThreadTime:
      return abi::to_time_spec(Ticks(Thread::current().cpu_time().total()));
    default:
      return failure(KernelError::InvalidArgument);
  }
}

// Sleeps until `deadline`; nothing but a signal ends it earlier.
Result<> sleep_until(Ticks deadline) {
  SpinLock lock{LockRank::Condition};
  WaitQueue nobody_wakes;
  SpinGuard guard(lock);
  for (;;) {
    if (clock::now() >= deadline) return {};
    const Result<> slept = nobody_wakes.sleep_interruptible_until(guard, deadline);
    if (!slept && slept.error() != KernelError::TimedOut) return slept;
  }
}

Value sleep_for(Ticks duration, UserPointer<abi::TimeSpec> remaining) {
  const Ticks deadline = begin_wait(duration);
  const Result<> slept = sleep_until(deadline);
  if (slept) return 0;
  if (!remaining.null()) TRY(remaining.write(abi::to_time_spec(deadline - clock::now())));
  end_wait(slept, deadline);
  return failure(slept.error());
}

Result<Ticks> deadline_on_clock(std::int32_t id, const abi::TimeSpec& time) {
  const Ticks end = TRY(abi::to_ticks(time));
  if (id != kRealTime) return end;
  const std::uint64_t now = real_time();
  const std::uint64_t then = clock::to_nanoseconds(end);
  return clock::now() + clock::from_nanoseconds(then > now ? then - now : 0);
}

}  // namespace

Value clock_gettime(std::int32_t clock, UserPointer<abi::TimeSpec> time) {
  TRY(time.write(TRY(read_clock(clock))));
  return 0;
}

Value clock_settime(std::int32_t clock, UserPointer<abi::TimeSpec> time) {
  if (clock != kRealTime) return failure(KernelError::InvalidArgument);
  const abi::TimeSpec wanted = TRY(time.read());
  TRY(abi::to_ticks(wanted));
  if (!Process::current().credentials.privileged()) return failure(KernelError::NotPermitted);
  const std::uint64_t nanoseconds = static_cast<std::uint64_t>(wanted.seconds) * kNanosecondsPerSecond +
                                    static_cast<std::uint64_t>(wanted.nanoseconds);
  real_time_offset = static_cast<std::int64_t>(nanoseconds - clock::nanoseconds_since_epoch());
  return 0;
}

Value clock_getres(std::int32_t clock, UserPointer<abi::TimeSpec> resolution) {
  TRY(read_clock(clock));
  const auto nanoseconds = static_cast<std::int64_t>(clock::to_nanoseconds(Ticks(1)));
  if (!resolution.null()) TRY(resolution.write({.seconds = 0, .nanoseconds = nanoseconds}));
  return 0;
}

Value gettimeofday(UserPointer<abi::TimeVal> time, Address zone) {
  const abi::TimeSpec now = from_nanoseconds(real_time());
  if (!time.null()) TRY(time.write({.seconds = now.seconds, .microseconds = now.nanoseconds / 1000}));
  // The kernel keeps UTC: minutes west and daylight saving are 0.
  if (zone != 0) TRY(UserPointer<std::uint64_t>(zone).write(0));
  return 0;
}

Value nanosleep(UserPointer<abi::TimeSpec> duration, UserPointer<abi::TimeSpec> remaining) {
  return sleep_for(TRY(abi::to_ticks(TRY(duration.read()))), remaining);
}

Value clock_nanosleep(std::int32_t clock, std::uint32_t flags, UserPointer<abi::TimeSpec> time,
                      UserPointer<abi::TimeSpec> remaining) {
  constexpr std::uint32_t kAbsolute = 1;
  if (clock != kRealTime && clock != kMonotonic && clock != kBootTime) {
    return failure(clock == kProcessTime ? KernelError::NotSupported : KernelError::InvalidArgument);
  }
  const abi::TimeSpec wanted = TRY(time.read());
  if ((flags & kAbsolute) == 0) return sleep_for(TRY(abi::to_ticks(wanted)), remaining);
  TRY(sleep_until(TRY(deadline_on_clock(clock, wanted))));
  return 0;
}

namespace {

constexpr std::uint32_t kRealTimer = 0;

abi::IntervalTimerValue to_abi(const IntervalTimer::Setting& setting) {
  return {.interval = abi::to_time_val(setting.interval), .value = abi::to_time_val(setting.remaining)};
}

}  // namespace

Value getitimer(std::uint32_t which, UserPointer<abi::IntervalTimerValue> value) {
  if (which != kRealTimer) return failure(KernelError::InvalidArgument);
  TRY(value.write(to_abi(Process::current().real_timer.get())));
  return 0;
}

Value setitimer(std::uint32_t which, UserPointer<abi::IntervalTimerValue> value,
                UserPointer<abi::IntervalTimerValue> old_value) {
  if (which != kRealTimer) return failure(KernelError::InvalidArgument);
  IntervalTimer::Setting setting;
  if (!value.null()) {
    const abi::IntervalTimerValue wanted = TRY(value.read());
    setting = {.remaining = TRY(abi::to_ticks(wanted.value)),
               .interval = TRY(abi::to_ticks(wanted.interval))};
  }
  const IntervalTimer::Setting before = Process::current().real_timer.set(setting);
  if (!old_value.null()) TRY(old_value.write(to_abi(before)));
  return 0;
}

Value times(UserPointer<abi::ProcessTimes> place) {
  const std::uint64_t ticks_each = clock::ticks_per_second() / kUserTicksPerSecond;
  if (!place.null()) {
    abi::ProcessTimes used;
    {
      SpinGuard guard(process_lock);
      const Process& process = Process::current();
      const ResourceUsage own = usage_of(process, guard);
      used = {.user = static_cast<std::int64_t>(own.user_ticks / ticks_each),
              .system = static_cast<std::int64_t>(own.system_ticks / ticks_each),
              .children_user = static_cast<std::int64_t>(process.children_usage.user_ticks / ticks_each),
              .children_system = static_cast<std::int64_t>(process.children_usage.system_ticks / ticks_each)};
    }
    TRY(place.write(used));
  }
  return clock::now().count() / ticks_each;
}

}  // namespace faultline::system_call
