#pragma once
// Pipes: a ring of pages between writers and readers.

#include <utility>

#include "kernel/fs/open_file.hpp"

namespace faultline {

/// Writes of at most this many bytes are not mixed with others' (PIPE_BUF).
inline constexpr std::size_t kPipeAtomicWrite = 4096;
inline constexpr std::size_t kPipeCapacity = 64 * 1024;

struct PipeEnds {
  Ref<OpenFile> reader;
  Ref<OpenFile> writer;
};

/// pipe2: `flags` may hold kNonBlocking. A write without a reader gives BrokenPipe (the caller sends
/// SIGPIPE).
[[nodiscard]] Result<PipeEnds> make_pipe(OpenFlags flags);

/// Opens a named pipe; sleeps until the other side is opened as POSIX asks (open of a FIFO). `inode` is a
/// Fifo.
[[nodiscard]] Result<Ref<OpenFile>> open_named_pipe(Ref<Inode> inode, OpenFlags flags);

}  // namespace faultline
