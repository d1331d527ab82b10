#pragma once
// Futexes: sleeping until a word in user memory changes.
//
// A futex is named by the space and the address, or, in memory shared between spaces, by the file and the
// offset. Threads park under that name (sync/parking.hpp).

#include <cstdint>

#include "kernel/lib/result.hpp"
#include "kernel/lib/time.hpp"

namespace faultline {

class UserThread;

namespace futex {

enum class Scope : std::uint8_t { Private, Shared };

/// Sleeps while the word holds `expected` and nobody wakes it with a mask that shares a bit with `mask`.
/// Errors: TryAgain when it holds something else, TimedOut, Interrupted, BadAddress, InvalidArgument when it
/// is not aligned.
Result<> wait(std::uint64_t address, Scope scope, std::uint32_t expected, Ticks deadline, std::uint32_t mask);

/// Wakes at most `count` sleepers; returns their number. Errors: BadAddress, InvalidArgument.
Result<unsigned> wake(std::uint64_t address, Scope scope, unsigned count, std::uint32_t mask);

/// Wakes at most `wake_count` and moves at most `move_count` further ones to wait for `target`, as long as
/// the word holds `expected` (not compared when null). Returns how many were woken or moved. Errors as wait.
Result<unsigned> requeue(std::uint64_t address, std::uint64_t target, Scope scope, unsigned wake_count,
                         unsigned move_count, const std::uint32_t* expected);

/// What libc asked for at a thread's exit: marks the robust futexes it holds as owned by a dead thread,
/// stores 0 to its clear_child_tid and wakes that. Bad addresses are ignored.
void release_at_exit(UserThread& thread);

}  // namespace futex
}  // namespace faultline
