#include "kernel/proc/cpu_time_limit.hpp"

#include "kernel/proc/exit.hpp"
#include "kernel/proc/process.hpp"
#include "kernel/proc/signal.hpp"

namespace faultline {

namespace {

constexpr std::uint64_t kLongestWait = 1000;  // seconds
constexpr std::uint64_t kShortestWaitFraction =
    100;  // of a second: a process that sleeps is looked at seldom

}  // namespace

void CpuTimeLimit::arm() {
  MutexGuard guard_of_timer(arming_);
  cancel();
  Ticks next;
  {
    SpinGuard guard(process_lock);
    next = enforce(guard);
  }
  if (next != Ticks()) start(next);
}

void CpuTimeLimit::disarm() {
  MutexGuard guard_of_timer(arming_);
  cancel();
}

void CpuTimeLimit::expired() {
  Ticks next;
  {
    SpinGuard guard(process_lock);
    next = enforce(guard);
  }
  if (next != Ticks()) start(next);
}

Ticks CpuTimeLimit::enforce(const SpinGuard& proof) {
  ResourceLimit limit = process_.limits.of(Resource::CpuSeconds);
  if (process_.threads.empty()) return {};
  if (limit.soft == ResourceLimit::kUnlimited && limit.hard == ResourceLimit::kUnlimited) return {};
  const std::uint64_t second = clock::ticks_per_second();
  const ResourceUsage usage = usage_of(process_, proof);
  const std::uint64_t used = usage.user_ticks + usage.system_ticks;
  if (used / second >= limit.hard) {
    (void)signals::send(process_, signals::from_kernel(Signal::Kill), proof);
    return {};
  }
  if (used / second >= limit.soft) {
    (void)signals::send(process_, signals::from_kernel(Signal::CpuLimit), proof);
    limit.soft = used / second + 1;
    process_.limits.set(Resource::CpuSeconds, limit);
  }
  const std::uint64_t next = std::min({limit.soft, limit.hard, used / second + kLongestWait});
  // All threads may be running at once.
  const std::uint64_t wait = (next * second - used) / std::max(process_.threads_alive, 1u);
  return clock::now() + Ticks(std::max(wait, second / kShortestWaitFraction));
}

}  // namespace faultline
