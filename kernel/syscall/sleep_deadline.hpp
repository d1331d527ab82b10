#pragma once
// Durations in system calls that may be restarted. A call that is interrupted by a stop, or by a signal
// without a handler, begins again with the same arguments; its duration still counts from its first
// beginning, so its end is kept in the thread.

#include <optional>
#include <utility>

#include "kernel/dev/clock.hpp"
#include "kernel/proc/user_thread.hpp"

namespace faultline::system_call {

/// The end of a wait of `duration`: from now, or as kept by the call that this one restarts.
inline Ticks begin_wait(Ticks duration) {
  std::optional<Ticks>& kept = UserThread::current().sleep_deadline;
  return std::exchange(kept, std::nullopt).value_or(clock::now() + duration);
}

/// Keeps the end for the restart if the wait was interrupted.
template <class T>
void end_wait(const Result<T>& result, Ticks deadline) {
  if (!result && result.error() == KernelError::Interrupted) UserThread::current().sleep_deadline = deadline;
}

}  // namespace faultline::system_call
