#pragma once
// Advisory locks of files: flock's over the whole of a file, which belong to an open file, and fcntl's over
// ranges of bytes, which belong to a table of descriptors (a process, unless CLONE_FILES shares it) or, with
// F_OFD_SETLK, to an open file. flock's and fcntl's do not see each other.
//
// A file has a FileLocks from its first lock on. An owner's locks go when it does; and those of a table also
// when it closes any descriptor of the file, as POSIX has it. So no lock outlives its owner, and a
// FileLocks with locks in it has an inode that somebody keeps open.
//
// One spin lock covers the locks of all files, because a circle of waiting processes may lead through
// several.

#include <cstdint>
#include <optional>

#include "kernel/fs/proc_source.hpp"
#include "kernel/lib/heap.hpp"
#include "kernel/lib/list.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/sync/wait_queue.hpp"

namespace faultline {

/// Names an owner; never dereferenced.
using LockOwner = const void*;

struct FileLock {
  /// The end of a range that reaches to the end of the file, wherever that is.
  static constexpr std::uint64_t kToTheEnd = std::uint64_t{1} << 63;

  /// In place of a process, for a range that an open file owns. Who waits for such a range, or with one, is
  /// in no circle: whoever shares the open file may give it up.
  static constexpr ProcessId kNoProcess = -1;

  LockOwner owner = nullptr;
  ProcessId process = 0;  // for F_GETLK
  bool exclusive = false;
  std::uint64_t start = 0, end = kToTheEnd;  // bytes [start, end), not empty

  bool overlaps(const FileLock& other) const { return start < other.end && other.start < end; }
};

class FileLocks {
 public:
  enum class Kind : std::uint8_t { WholeFile, Range };
  enum class Wait : bool { No, Yes };

  FileLocks() = default;
  FileLocks(const FileLocks&) = delete;
  FileLocks& operator=(const FileLocks&) = delete;
  ~FileLocks();

  /// Takes the lock; what the owner holds inside its range is replaced. Errors: TryAgain when another owner's
  /// lock is in the way, or, with Wait::Yes, Interrupted and for ranges Deadlock; OutOfMemory. A WholeFile
  /// lock of the other sort is given up first, whatever comes then (flock(2): no two holders of a shared lock
  /// wait for each other to become exclusive).
  [[nodiscard]] Result<> take(Kind kind, const FileLock& wanted, Wait wait);

  /// Gives up what the owner of `range` holds inside it. Error: OutOfMemory, when a lock has to be cut in
  /// two.
  [[nodiscard]] Result<> release(Kind kind, const FileLock& range);

  /// Gives up all that the owner holds. Does not sleep.
  void release_all(Kind kind, LockOwner owner);

  /// The first lock of another owner that would be in the way.
  std::optional<FileLock> find_conflict(Kind kind, const FileLock& wanted) const;

 private:
  struct Held;
  struct Waiter;
  struct Spares;

  List<Held>& list(Kind kind) { return kind == Kind::WholeFile ? whole_ : ranges_; }
  const Held* conflict(Kind kind, const FileLock& wanted) const;
  void give_up_other_sort(const FileLock& wanted, Spares& spares);
  void replace(Kind kind, const FileLock& wanted, bool hold, Spares& spares);
  static bool closes_circle(LockOwner waiter, LockOwner holder);
  static List<Waiter>& waiters();

  List<Held> whole_, ranges_;
  WaitQueue changed_;
};

}  // namespace faultline
