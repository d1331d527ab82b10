#pragma once
// Time: the machine's counter, conversions, timers.

#include <cstdint>

#include "kernel/lib/pairing_heap.hpp"
#include "kernel/lib/time.hpp"
#include "kernel/mm/platform.hpp"

namespace faultline {

struct Machine;

namespace clock {

/// Ticks since power-on; the same on every hart.
Ticks now();
std::uint64_t ticks_per_second();

/// The duration, rounded up; saturates.
Ticks from_nanoseconds(std::uint64_t nanoseconds);
/// Rounded down; saturates.
std::uint64_t to_nanoseconds(Ticks ticks);

/// Wall-clock time: from the board's real-time clock, read once at start-up, and the counter. Without such a
/// clock the time since power-on.
std::uint64_t nanoseconds_since_epoch();

/// What the board's real-time clock shows now, or the time since power-on where there is none. It goes by the
/// world outside, while an emulator may let the counter jump to the next timer whenever all harts wait. Slow;
/// one caller at a time.
std::uint64_t board_nanoseconds();

/// For start-up, once.
void initialize(const Machine& machine);

/// For the timer interrupt: runs what is due on this hart; when the next one is.
void run_expired_timers();
Ticks next_timer();

}  // namespace clock

/// A one-shot alarm. Each hart keeps the timers that were started on it, ordered by deadline.
class Timer : private PairingHeapNode<Timer> {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// Calls expired() at `deadline` or soon after, on this hart, unless cancelled first. A timer that is
  /// already started is moved. The caller holds no lock that expired() takes, and does not start or cancel
  /// one timer from two places at once.
  void start(Ticks deadline);

  /// After it returns expired() neither runs nor will. May be called from expired() itself. The caller holds
  /// no lock that expired() takes. Must be called before the timer is destroyed.
  void cancel();

 protected:
  ~Timer();

  /// In interrupt context (from user mode, idle or a preemption point), no lock held; may not sleep. May
  /// start the timer again.
  virtual void expired() = 0;

 private:
  friend class TimerQueue;
  friend class PairingHeap<Timer>;
  bool before(const Timer& other) const { return deadline_ < other.deadline_; }

  Ticks deadline_;
  class TimerQueue* queue_ =
      nullptr;  // where it stands or is being run; changed only by start, cancel and the owner hart
};

}  // namespace faultline
