#pragma once
// Who may look into a process, change how it runs, or send it a signal. All under process_lock.

#include <optional>

#include "kernel/proc/process.hpp"

namespace faultline::access {

/// Which of the caller's user and group numbers count: those it has, for system calls that name a process, or
/// those it opens files with, for /proc.
enum class Identity : std::uint8_t { Real, Effective };

/// Whether the current process may see the inside of `target`: its memory, its files, its locks. Only its
/// owner may, and not when it runs with rights that it did not have from the start (ptrace(2), "Ptrace access
/// mode checking").
bool may_inspect(const Process& target, Identity identity);

/// Whether the current process may change how `target` is scheduled.
bool may_schedule(const Process& target);

/// kill(2)'s rule. No signal: only whether one could be sent.
bool may_signal(const Process& target, std::optional<Signal> signal);

}  // namespace faultline::access
