#pragma once
// Leaving: threads one by one, the process with the last of them, and the parent's wait.

#include <cstdint>
#include <optional>

#include "kernel/lib/ref.hpp"
#include "kernel/proc/process.hpp"

namespace faultline {

/// Ends the current thread. If it is the last of its process, the process ends: with `code` unless something
/// else (exit_group, a fatal signal) has decided before.
[[noreturn]] void exit_thread(std::uint8_t code);

/// Ends the current process with `code`.
[[noreturn]] void exit_process(std::uint8_t code);

/// Makes the current thread the only one of its process, for exec. Error: Interrupted when the process is
/// ending instead; the thread then leaves at its return to user mode.
Result<> leave_siblings_behind();

/// Which children a wait is about.
struct ChildSelector {
  enum class Kind : std::uint8_t { Any, Process, Group };
  Kind kind = Kind::Any;
  ProcessId id = 0;
  bool clones = false;  // __WCLONE: only children whose exit signal is not SIGCHLD
  bool all = false;     // __WALL: with and without
};

struct WaitOptions {
  bool exited = false, stopped = false, continued = false;
  bool no_hang = false;
  bool keep = false;  // WNOWAIT: report it again next time
};

struct ChildReport {
  ProcessId id = 0;
  std::uint32_t user = 0;
  std::int32_t code = 0;         // CLD_…
  std::int32_t value = 0;        // exit code or signal number, for siginfo
  std::int32_t wait_status = 0;  // for wait4
  ResourceUsage usage;
};

/// Waits for a child to change as `options` ask, and takes note that it was told. Nothing with no_hang when
/// no child has. Errors: NoChild, Interrupted.
Result<std::optional<ChildReport>> wait_for_child(const ChildSelector& selector, const WaitOptions& options);

/// What a process with all its threads, past and present, has used.
ResourceUsage usage_of(const Process& process, const SpinGuard& proof);

}  // namespace faultline
