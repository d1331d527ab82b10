#pragma once
// execve: another program in the same process.

#include <cstdint>
#include <string_view>

#include "kernel/fs/path.hpp"
#include "kernel/lib/result.hpp"

namespace faultline {

struct ExecRequest {
  Ref<Inode> file;        // what is to run
  std::string_view path;  // what the program and its interpreter are told; in kernel memory
  PathContext context;
  std::uint64_t arguments;  // null-terminated arrays of strings in user memory
  std::uint64_t environment;
};

/// Replaces the current process's program. On success the thread's frame starts the new one when it returns
/// to user mode. On any error the old program goes on unharmed. Errors: those of resolving the path,
/// AccessDenied when the file is not executable, NotExecutable, ArgumentsTooLong, BadAddress, OutOfMemory,
/// TooManySymbolicLinks for scripts whose interpreters are scripts too often.
Result<> execute(const ExecRequest& request);

/// Makes the calling kernel-made user thread run the first program, with its own path as the only argument.
Result<> execute_first(std::string_view path, const PathContext& context);

}  // namespace faultline
