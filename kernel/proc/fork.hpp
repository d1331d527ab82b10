#pragma once
// fork, vfork and clone: new processes and new threads.

#include <cstdint>

#include "kernel/lib/result.hpp"
#include "kernel/proc/identifier.hpp"

namespace faultline {

/// The arguments of clone(2), as the user passed them; nothing is known of them.
struct CloneRequest {
  static constexpr std::uint64_t kExitSignalMask = 0xff;
  static constexpr std::uint64_t kMemory = 0x100, kFileSystem = 0x200, kFiles = 0x400, kSignalActions = 0x800,
                                 kVfork = 0x4000, kParent = 0x8000, kThread = 0x10000,
                                 kSystemVSemaphores = 0x40000, kSetThreadLocal = 0x80000,
                                 kParentSetId = 0x100000, kChildClearId = 0x200000, kDetached = 0x400000,
                                 kChildSetId = 0x1000000;

  std::uint64_t flags = 0;
  std::uint64_t stack = 0;  // 0: the child goes on on (its copy of) the same stack
  std::uint64_t parent_id_address = 0;
  std::uint64_t thread_local_address = 0;
  std::uint64_t child_id_address = 0;

  bool has(std::uint64_t flag) const { return (flags & flag) != 0; }
};

/// Makes a thread or a process that continues where the current thread does, and returns its number. With
/// kVfork it returns when the child has executed a program or ended, or the process itself is to end. Errors:
/// InvalidArgument, OutOfMemory; TryAgain when there are too many threads; RestartSystemCall when a signal
/// has to be taken first.
Result<ProcessId> clone(const CloneRequest& request);

/// Processes and threads made since start-up.
std::uint64_t processes_created();

/// How many threads of user programs exist, and how many may.
unsigned user_threads();
unsigned user_thread_limit();
/// Counts the thread of the first process, which nobody forks. Error: TryAgain.
Result<> count_first_thread();
/// Called once for each thread that is gone.
void uncount_user_thread();
/// Sets the limit from the size of memory; once, at start-up.
void set_user_thread_limit(std::uint64_t memory_frames);

}  // namespace faultline
