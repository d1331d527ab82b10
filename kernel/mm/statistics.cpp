#include "kernel/mm/statistics.hpp"

namespace faultline {

namespace detail {
constinit HartLocal<HartCounters> hart_counters;
}  // namespace detail

std::uint64_t counter_total(Counter counter) noexcept {
  std::uint64_t total = 0;
  detail::hart_counters.for_each([&](const detail::HartCounters& counters) {
    total += counters[static_cast<std::size_t>(counter)].load(std::memory_order_relaxed);
  });
  return total;
}

}  // namespace faultline
