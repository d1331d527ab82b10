#include "kernel/sched/load_average.hpp"

#include <algorithm>
#include <atomic>

#include "kernel/dev/clock.hpp"
#include "kernel/lib/spin_lock.hpp"

namespace faultline::load_average {

namespace {

constexpr std::uint64_t kSecondsBetweenSamples = 5;
// What is left of an average after one interval: kOne * e^(-5/60), e^(-5/300), e^(-5/900).
constexpr std::array<std::uint64_t, 3> kKept = {1884, 2014, 2037};
// After so many intervals even the slowest average has forgotten everything.
constexpr std::uint64_t kMostMissed = 2000;

SpinLock lock{LockRank::Leaf};
std::atomic<std::uint64_t> next_sample = 0;
std::array<std::uint64_t, 3> averages = {};  // under lock

}  // namespace

bool is_due(Ticks now) { return now.count() >= next_sample.load(std::memory_order_relaxed); }

void take_sample(Ticks now, unsigned threads) {
  SpinGuard guard(lock);
  if (!is_due(now)) return;
  const std::uint64_t interval = kSecondsBetweenSamples * clock::ticks_per_second();
  const std::uint64_t missed = (now.count() - next_sample) / interval;
  next_sample = next_sample + (missed + 1) * interval;
  for (std::uint64_t i = 0; i <= std::min(missed, kMostMissed); ++i) {
    for (std::size_t k = 0; k < averages.size(); ++k) {
      const std::uint64_t wanted = threads * kOne;
      // Rounded towards what is aimed at, so that it is reached.
      const std::uint64_t up = wanted > averages[k] ? kOne - 1 : 0;
      averages[k] = (averages[k] * kKept[k] + wanted * (kOne - kKept[k]) + up) / kOne;
    }
  }
}

std::array<std::uint64_t, 3> current() {
  SpinGuard guard(lock);
  return averages;
}

}  // namespace faultline::load_average
