#pragma once
// In the place of the kernel's header: what sleeping asks of a thread. The tests play the scheduler.

#include <atomic>

#include "kernel/lib/ref.hpp"
#include "kernel/lib/time.hpp"
#include "kernel/riscv/hart.hpp"

namespace faultline {

struct Process;

class Thread : public RefCounted {
 public:
  enum class State { Running, Blocking, Woken, Blocked, Runnable };

  static Thread& current();

  std::atomic<bool> signal_pending = false;
  State state = State::Running;
};

}  // namespace faultline
