#pragma once
// Writing changed files to the disk without being asked: from time to time, and when memory runs short.

namespace faultline {

/// Starts the kernel thread that does it. Call once, when the root is mounted.
void start_write_back();

/// Says that a file system has something to write from now on, or may have without saying so again (a shared
/// mapping). To be called after the change, at every change: an idle machine sets no timer while nothing has
/// changed. Does not sleep; no lock of rank WaitQueue or above may be held.
void note_unwritten_change() noexcept;

}  // namespace faultline
