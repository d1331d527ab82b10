#include "kernel/dev/clock.hpp"

#include <algorithm>

#include "kernel/lib/spin_lock.hpp"
#include "kernel/mm/hart_local.hpp"
#include "kernel/riscv/csr.hpp"
#include "kernel/riscv/device_register.hpp"
#include "kernel/riscv/hart.hpp"
#include "kernel/riscv/machine.hpp"
#include "kernel/riscv/memory_map.hpp"
#include "kernel/riscv/timer.hpp"

namespace faultline {

namespace {

std::uint64_t frequency = 1;
std::uint64_t epoch_offset = 0;  // nanoseconds since the epoch at tick 0
std::optional<PaRange> board_clock;

/// Goldfish real-time clock: nanoseconds since the epoch; reading the low half latches the high one.
std::uint64_t read_real_time_clock(const PaRange& registers) {
  auto* const words = reinterpret_cast<volatile std::uint32_t*>(mmio(Pa::checked(registers.start)));
  const std::uint64_t low = read_register(words);
  return static_cast<std::uint64_t>(read_register(words + 1)) << 32 | low;
}

}  // namespace

/// The timers started on one hart. Only that hart runs them and programs the hardware; any hart may take one
/// out.
class TimerQueue {
 public:
  void insert(Timer& timer, Ticks deadline) {
    SpinGuard guard(lock_);
    timer.deadline_ = deadline;
    timer.queue_ = this;
    timers_.insert(timer);
  }

  /// Takes the timer out if it stands here. True when its expired() is running, which may put it in again.
  bool remove(Timer& timer) {
    SpinGuard guard(lock_);
    if (timers_.contains(timer)) timers_.remove(timer);
    return is_running(timer);
  }

  bool is_running(const Timer& timer) const { return running_.load(std::memory_order_acquire) == &timer; }

  Ticks earliest() {
    SpinGuard guard(lock_);
    const Timer* const first = timers_.least();
    return first == nullptr ? Ticks::forever() : first->deadline_;
  }

  void run_expired() {
    while (Timer* const timer = take_expired()) {
      timer->expired();
      // From here on cancel() may return and the timer be gone.
      running_.store(nullptr, std::memory_order_release);
    }
  }

 private:
  Timer* take_expired() {
    SpinGuard guard(lock_);
    Timer* const first = timers_.least();
    if (first == nullptr || first->deadline_ > clock::now()) return nullptr;
    timers_.remove(*first);
    running_.store(first, std::memory_order_relaxed);
    return first;
  }

  SpinLock lock_{LockRank::Leaf};
  PairingHeap<Timer> timers_;
  std::atomic<const Timer*> running_ = nullptr;  // whose expired() is being called
};

namespace {
HartLocal<TimerQueue> queues;
TimerQueue& own_queue() { return queues[platform::current_hart()]; }
}  // namespace

void Timer::start(Ticks deadline) {
  if (TimerQueue* const queue = queue_) queue->remove(*this);
  own_queue().insert(*this, deadline);
  timer::program(deadline);
}

void Timer::cancel() {
  TimerQueue* const queue = queue_;
  if (queue == nullptr) return;
  // On this hart it runs only if this call comes from expired() itself.
  while (queue->remove(*this) && queue != &own_queue()) {
    while (queue->is_running(*this)) cpu_relax();
  }
}

Timer::~Timer() { ASSERT(queue_ == nullptr || !queue_->is_running(*this)); }

namespace clock {

void initialize(const Machine& machine) {
  frequency = machine.timebase_frequency;
  if (machine.real_time_clock && machine.real_time_clock->size() >= 8) {
    board_clock = machine.real_time_clock;
    epoch_offset = read_real_time_clock(*board_clock) - to_nanoseconds(now());
  }
}

void run_expired_timers() { own_queue().run_expired(); }
Ticks next_timer() { return own_queue().earliest(); }

Ticks now() { return Ticks(csr::read_time()); }
std::uint64_t ticks_per_second() { return frequency; }

Ticks from_nanoseconds(std::uint64_t nanoseconds) {
  const std::uint64_t seconds = nanoseconds / kNanosecondsPerSecond;
  const std::uint64_t rest =
      nanoseconds % kNanosecondsPerSecond * frequency;  // frequency ≤ 10^9, so this fits
  if (seconds > (UINT64_MAX - frequency) / frequency) return Ticks::forever();
  return Ticks(seconds * frequency + (rest + kNanosecondsPerSecond - 1) / kNanosecondsPerSecond);
}

std::uint64_t to_nanoseconds(Ticks ticks) {
  const std::uint64_t seconds = ticks.count() / frequency;
  const std::uint64_t rest = ticks.count() % frequency * kNanosecondsPerSecond / frequency;
  if (seconds > (UINT64_MAX - rest) / kNanosecondsPerSecond) return UINT64_MAX;
  return seconds * kNanosecondsPerSecond + rest;
}

std::uint64_t board_nanoseconds() {
  return board_clock ? read_real_time_clock(*board_clock) : to_nanoseconds(now());
}

std::uint64_t nanoseconds_since_epoch() { return epoch_offset + to_nanoseconds(now()); }

}  // namespace clock
}  // namespace faultline
