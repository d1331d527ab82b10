#include "kernel/syscall/linux_abi.hpp"

#include "kernel/dev/clock.hpp"

namespace faultline::abi {

namespace {
constexpr std::int64_t kMicrosecondsPerSecond = 1'000'000;

Ticks from_parts(std::int64_t seconds, std::int64_t nanoseconds) {
  const std::uint64_t whole_seconds = static_cast<std::uint64_t>(seconds);
  const std::uint64_t per_second = clock::ticks_per_second();
  if (whole_seconds >= UINT64_MAX / per_second) return Ticks::forever();
  return Ticks(whole_seconds * per_second) + clock::from_nanoseconds(static_cast<std::uint64_t>(nanoseconds));
}
}  // namespace

Result<Ticks> to_ticks(const TimeSpec& time) {
  if (time.seconds < 0 || time.nanoseconds < 0 || time.nanoseconds >= kNanosecondsPerSecond) {
    return failure(KernelError::InvalidArgument);
  }
  return from_parts(time.seconds, time.nanoseconds);
}

Result<Ticks> to_ticks(const TimeVal& time) {
  if (time.seconds < 0 || time.microseconds < 0 || time.microseconds >= kMicrosecondsPerSecond) {
    return failure(KernelError::InvalidArgument);
  }
  return from_parts(time.seconds, time.microseconds * 1000);
}

TimeSpec to_time_spec(Ticks ticks) {
  const std::uint64_t per_second = clock::ticks_per_second();
  return {.seconds = static_cast<std::int64_t>(ticks.count() / per_second),
          .nanoseconds = static_cast<std::int64_t>(clock::to_nanoseconds(Ticks(ticks.count() % per_second)))};
}

TimeVal to_time_val(Ticks ticks) {
  const TimeSpec time = to_time_spec(ticks);
  return {.seconds = time.seconds, .microseconds = time.nanoseconds / 1000};
}

TimeSpec to_time_spec(const Timestamp& time) {
  return {.seconds = time.seconds, .nanoseconds = time.nanoseconds};
}

}  // namespace faultline::abi
