#pragma once
// The terminal on the serial line: /dev/console and /dev/tty.
//
// It belongs to at most one session. Of that session's groups one is in the foreground: it gets the signals
// that are typed, and it alone may read; others that try are stopped.
//
// Locks: process_lock for whose terminal it is, then the terminal's own for its input. Input comes in
// interrupt context, which takes the two one after the other, never one inside the other.

#include <cstddef>

#include "kernel/lib/result.hpp"

namespace faultline {

struct Process;
struct ProcessGroup;

namespace tty {

/// One byte from the line (uart::Receiver).
void receive(std::byte byte);

/// Registers /dev/console and /dev/tty.
Result<> initialize();

/// A process is leaving. If it led the terminal's session, the foreground group is hung up and the terminal
/// is free.
void session_member_exited(Process& process);

/// For /proc/PID/stat: the foreground group of the process's terminal, or -1. The caller holds process_lock.
int foreground_group(const Process& process);

}  // namespace tty
}  // namespace faultline
