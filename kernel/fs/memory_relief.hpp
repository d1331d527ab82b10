#pragma once
// Making memory free for an operation that lacks some.
//
// A frame is taken with page tables locked and in the middle of changes, where no file can be written. There
// only clean pages of files give way (allocate_or_reclaim); when nothing else is left the operation fails
// with OutOfMemory. Whoever called it, and holds none of the locks named below, makes memory free and calls
// it again: a page fault by returning to the program, a system call as a whole (syscall/dispatch.cpp), and a
// transfer, which would otherwise end half-way, where the one page is missing.

#include "kernel/lib/result.hpp"

namespace faultline {

/// Makes some memory free: drops clean pages of files, writes dirty ones back and drops them, gives up cached
/// kernel stacks. May sleep. False when there was nothing to give up.
///
/// It takes the locks of all file systems that come behind the contents of a file (inode.hpp), and no other:
/// a thread may hold the contents lock of an inode, a pipe or the offset of an open file meanwhile, but not
/// the lock of a directory, nor that of a process's memory.
bool relieve_memory();

/// After what one call gives up, others may be faster to take it; and what is given up need not be enough.
inline constexpr unsigned kMaxReliefs = 8;

/// `result` is that of an attempt. As long as it is OutOfMemory, and there is something to give up, memory is
/// made free and another attempt made.
template <class T, class Attempt>
[[gnu::noinline]] Result<T> retry_relieved(Result<T> result, Attempt attempt) {
  for (unsigned i = 0; i < kMaxReliefs && !result && result.error() == KernelError::OutOfMemory; ++i) {
    if (!relieve_memory()) break;
    result = attempt();
  }
  return result;
}

/// Makes an attempt, and others for which memory is made free.
template <class Attempt>
auto with_relief(Attempt attempt) {
  auto result = attempt();
  if (result) [[likely]]
    return result;
  return retry_relieved(std::move(result), attempt);
}

}  // namespace faultline
