#include "kernel/proc/identifier.hpp"

#include <array>

#include "kernel/lib/spin_lock.hpp"

namespace faultline {

namespace {
SpinLock identifiers_lock;
// How many uses each number has: a process or thread, a group, a session, and any number of open files.
std::array<std::uint32_t, kMaxProcessId + 1> uses;
ProcessId last_allocated = 0;
}  // namespace

Result<Identifier> Identifier::allocate() {
  SpinGuard guard(identifiers_lock);
  for (ProcessId tried = 0; tried < kMaxProcessId; ++tried) {
    last_allocated = last_allocated == kMaxProcessId ? 1 : last_allocated + 1;
    if (uses[last_allocated] != 0) continue;
    uses[last_allocated] = 1;
    return Identifier(last_allocated);
  }
  return failure(KernelError::TryAgain);
}

ProcessId Identifier::newest() {
  SpinGuard guard(identifiers_lock);
  return last_allocated;
}

Identifier Identifier::share() const {
  SpinGuard guard(identifiers_lock);
  ++uses[value_];
  return Identifier(value_);
}

Identifier::~Identifier() {
  if (value_ == 0) return;
  SpinGuard guard(identifiers_lock);
  ASSERT(uses[value_] > 0);
  --uses[value_];
}

}  // namespace faultline
