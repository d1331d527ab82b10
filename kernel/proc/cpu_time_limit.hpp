#pragma once
// RLIMIT_CPU: SIGXCPU when a process has run for the soft limit and for every second after that, SIGKILL at
// the hard limit.
//
// The processor time of a process is not counted by an interrupt, so there is nothing to compare at each
// tick. A timer looks instead when the limit can have been reached at the earliest, and goes to sleep again
// if it has not.

#include "kernel/dev/clock.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/sync/mutex.hpp"

namespace faultline {

struct Process;

class CpuTimeLimit final : public Timer {
 public:
  explicit CpuTimeLimit(Process& process) : process_(process) {}

  /// The limit has changed, or the process begins. The caller does not hold process_lock.
  void arm();
  /// The process has no threads any more.
  void disarm();

  void expired() override;

 private:
  /// Sends what is due; when to look again, zero for never.
  Ticks enforce(const SpinGuard& proof);

  Process& process_;
  // A timer is not started and cancelled from two places at once; limits may be set by several threads and,
  // with prlimit, by other processes.
  Mutex arming_{LockRank::FileSystem};
};

}  // namespace faultline
