#pragma once
// The end of a sleep by time.

#include "kernel/dev/clock.hpp"
#include "kernel/sched/scheduler.hpp"

namespace faultline {

/// Wakes a thread at a deadline, if that comes within this object's life. The thread has announced its sleep
/// (scheduler::begin_block); being woken is all that happens, it finds out why by itself.
class WakeUpAlarm final : private Timer {
 public:
  WakeUpAlarm(Thread& thread, Ticks deadline) : thread_(thread), armed_(!deadline.is_forever()) {
    if (armed_) start(deadline);
  }
  ~WakeUpAlarm() {
    if (armed_) cancel();
  }

 private:
  void expired() override { scheduler::wake(thread_); }

  Thread& thread_;
  const bool armed_;
};

}  // namespace faultline
