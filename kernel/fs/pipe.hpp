#pragma once
// Pipes: pages between writers and readers.

#include <utility>

#include "kernel/fs/open_file.hpp"

namespace faultline {

/// Writes of at most this many bytes are not mixed with others' (PIPE_BUF).
inline constexpr std::size_t kPipeAtomicWrite = 4096;
/// What a pipe holds unless somebody says otherwise (F_SETPIPE_SZ).
inline constexpr std::size_t kPipeCapacity = 64 * 1024;

/// What a pipe holds that is to hold so many bytes: a power of two of pages. Error: InvalidArgument, beyond 2
/// GiB.
[[nodiscard]] Result<std::size_t> round_pipe_capacity(std::uint64_t bytes);
/// How much who is not privileged may have a pipe hold (/proc/sys/fs/pipe-max-size).
std::size_t pipe_capacity_limit();
[[nodiscard]] Result<> set_pipe_capacity_limit(std::uint64_t bytes);

struct PipeEnds {
  Ref<OpenFile> reader;
  Ref<OpenFile> writer;
};

/// pipe2: `flags` may hold kNonBlocking and kDirect. A write without a reader gives BrokenPipe (the caller
/// sends SIGPIPE).
[[nodiscard]] Result<PipeEnds> make_pipe(OpenFlags flags);

/// Opens a named pipe; sleeps until the other side is opened as POSIX asks (open of a FIFO). `inode` is a
/// Fifo.
[[nodiscard]] Result<Ref<OpenFile>> open_named_pipe(Ref<Inode> inode, OpenFlags flags);

}  // namespace faultline
