#pragma once
// setitimer(ITIMER_REAL) and alarm: SIGALRM after a time, once or again and again.

#include <cstdint>

#include "kernel/dev/clock.hpp"

namespace faultline {

struct Process;

/// The timer of one process.
class IntervalTimer final : public Timer {
 public:
  struct Setting {
    Ticks remaining;  // zero: disarmed
    Ticks interval;   // zero: once
  };

  explicit IntervalTimer(Process& process) : process_(process) {}

  Setting get() const;
  /// Arms or disarms the timer and returns what it was. The caller does not hold process_lock.
  Setting set(Setting setting);

  void expired() override;

 private:
  Process& process_;
  Ticks deadline_;  // zero: disarmed
  Ticks interval_;
};

}  // namespace faultline
