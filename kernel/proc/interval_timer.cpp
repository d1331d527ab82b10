#include "kernel/proc/interval_timer.hpp"

#include "kernel/proc/signal.hpp"

namespace faultline {

IntervalTimer::Setting IntervalTimer::get() const {
  SpinGuard guard(process_lock);
  const Ticks now = clock::now();
  if (deadline_ == Ticks()) return {};
  // A timer that is about to expire is armed still: what remains is never reported as nothing.
  return {.remaining = std::max(deadline_ - now, Ticks(1)), .interval = interval_};
}

IntervalTimer::Setting IntervalTimer::set(Setting setting) {
  const Setting before = get();
  cancel();
  Ticks deadline;
  {
    SpinGuard guard(process_lock);
    deadline_ = setting.remaining == Ticks() ? Ticks() : clock::now() + setting.remaining;
    interval_ = setting.interval;
    deadline = deadline_;
  }
  if (deadline != Ticks()) start(deadline);
  return before;
}

void IntervalTimer::expired() {
  Ticks next;
  {
    SpinGuard guard(process_lock);
    if (deadline_ == Ticks()) return;
    (void)signals::send(process_, signals::from_kernel(Signal::Alarm), guard);
    // From the time it was due, not from now: periods do not drift. A period that has passed already is left
    // out.
    deadline_ = interval_ == Ticks() ? Ticks() : std::max(deadline_ + interval_, clock::now());
    next = deadline_;
  }
  if (next != Ticks()) start(next);
}

}  // namespace faultline
