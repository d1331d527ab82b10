#pragma once
// What the cases of the lazy pager have in common.

#include "kernel/mm/statistics.hpp"
#include "test/host/space.hpp"

namespace faultline::sim {

using Lazy = Process<LazyPager>;

/// How often a counter rises during a scope.
class Rise {
 public:
  explicit Rise(Counter counter) : counter_(counter), before_(counter_total(counter)) {}
  std::uint64_t operator()() const { return counter_total(counter_) - before_; }

 private:
  Counter counter_;
  std::uint64_t before_;
};

inline Pa frame_at(Lazy& process, Va va) { return process.mm.walk(va)->entry.pa(); }

}  // namespace faultline::sim
