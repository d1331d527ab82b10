#pragma once
// An open file description: what open(2) makes, what descriptors point to and dup and fork share.

#include <cstddef>
#include <cstdint>

#include "kernel/fs/file_signals.hpp"
#include "kernel/fs/file_use.hpp"
#include "kernel/fs/inode.hpp"
#include "kernel/fs/io_buffer.hpp"
#include "kernel/fs/poll.hpp"
#include "kernel/lib/ref.hpp"
#include "kernel/sync/mutex.hpp"

namespace faultline {

/// How a file is opened. The numbers are those of Linux on RISC-V (asm-generic/fcntl.h).
struct OpenFlags {
  static constexpr std::uint32_t kAccessMode = 03, kReadOnly = 00, kWriteOnly = 01, kReadWrite = 02;
  static constexpr std::uint32_t kCreate = 0100, kExclusive = 0200, kNoControllingTerminal = 0400,
                                 kTruncate = 01000, kAppend = 02000, kNonBlocking = 04000, kDataSync = 010000,
                                 kAsync = 020000, kDirect = 040000, kLargeFile = 0100000,
                                 kDirectory = 0200000, kNoFollow = 0400000, kNoAccessTime = 01000000,
                                 kCloseOnExec = 02000000, kSync = 04010000, kPath = 010000000;
  /// What F_SETFL may change.
  static constexpr std::uint32_t kChangeable = kAppend | kNonBlocking | kDirect | kNoAccessTime;
  /// What stays with the description after the open.
  static constexpr std::uint32_t kStatus =
      kAccessMode | kChangeable | kAsync | kDataSync | kSync | kLargeFile | kDirectory | kPath;

  std::uint32_t bits = 0;

  constexpr bool has(std::uint32_t flag) const { return (bits & flag) == flag; }
  constexpr bool readable() const { return !has(kPath) && (bits & kAccessMode) != kWriteOnly; }
  constexpr bool writable() const {
    return !has(kPath) && ((bits & kAccessMode) == kWriteOnly || (bits & kAccessMode) == kReadWrite);
  }
};

enum class SeekFrom : std::uint8_t { Start, Current, End };

/// The base serves files and directories through their inode; pipes and devices derive from it.
class OpenFile : public RefCounted {
 public:
  /// `inode` may be null for files without one (anonymous pipes have one).
  OpenFile(Ref<Inode> inode, OpenFlags flags, WriteAccess writing = {});
  /// The last descriptor is closed: the locks that the open file owns go.
  ~OpenFile() override;

  Inode* inode() const { return inode_.get(); }
  OpenFlags flags() const { return {flags_.load(std::memory_order_relaxed)}; }
  /// F_SETFL: takes over the kChangeable bits.
  void set_status_flags(OpenFlags flags);

  /// Read or write at the file's offset and move it. BadFileDescriptor when not opened for that, IsDirectory.
  /// Devices and pipes may sleep interruptibly: Interrupted; TryAgain with kNonBlocking.
  [[nodiscard]] Result<std::size_t> read(IoBuffer& buffer);
  [[nodiscard]] Result<std::size_t> write(IoBuffer& buffer);

  /// At an offset of the caller's; the file's own does not move. IllegalSeek for pipes and terminals.
  [[nodiscard]] Result<std::size_t> read_at(std::uint64_t offset, IoBuffer& buffer);
  [[nodiscard]] Result<std::size_t> write_at(std::uint64_t offset, IoBuffer& buffer);

  [[nodiscard]] virtual Result<std::uint64_t> seek(std::int64_t offset, SeekFrom from);

  /// The conditions that hold now; when `waiter` is given, it is woken at the next change.
  virtual PollEvents poll(PollWaiter* waiter);

  /// Whom the file tells what happens to it.
  FileSignals& signals() { return signals_; }
  /// O_ASYNC: has the file tell when it becomes ready, or no more. Does nothing to a file that is always
  /// ready.
  void set_async(int descriptor, bool on);

  /// Device control; `argument` is what the user passed. NotTerminal if the file does not know the request.
  [[nodiscard]] virtual Result<std::uint64_t> control(std::uint32_t request, std::uint64_t argument);

  /// Entries from the file's offset on. NotDirectory.
  [[nodiscard]] Result<> iterate(DirectoryVisitor& visitor);

  [[nodiscard]] virtual Result<> truncate(std::uint64_t size);
  [[nodiscard]] virtual Result<> synchronize();
  [[nodiscard]] virtual Result<Stat> stat() const;

  /// Bytes that a pipe holds at most, and the change of that to whole pages. Errors: BadFileDescriptor, when
  /// this is no pipe; Busy, when it holds more; OutOfMemory.
  [[nodiscard]] virtual Result<std::size_t> pipe_capacity();
  [[nodiscard]] virtual Result<> set_pipe_capacity(std::size_t bytes);

  /// Frames that nothing but its descriptors keeps in use. May sleep.
  virtual std::size_t held_frames() { return 0; }

  /// True for a device that mmap treats as memory without a file (/dev/zero).
  virtual bool maps_as_memory() const { return false; }
  /// True when the file has a position: reads and writes may happen at offsets.
  virtual bool seekable() const;

 protected:
  // What the public functions do after their checks. The offset is ignored by files that are not seekable.
  [[nodiscard]] virtual Result<std::size_t> do_read(std::uint64_t offset, IoBuffer& buffer);
  [[nodiscard]] virtual Result<std::size_t> do_write(std::uint64_t& offset, IoBuffer& buffer, bool append);

  /// Where the file is to be told from, if it is not always ready.
  virtual AsyncFiles* async_files() { return nullptr; }

 private:
  Ref<Inode> inode_;
  WriteAccess writing_;
  std::atomic<std::uint32_t> flags_;
  FileSignals signals_;
  Mutex offset_lock_{LockRank::FileSystem};  // held over a read or write at the offset: two sharers never
                                             // transfer the same bytes
  std::uint64_t offset_ = 0;
};

}  // namespace faultline
