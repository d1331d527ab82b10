#pragma once
// File descriptors: small numbers that name open files.

#include <cstddef>
#include <cstdint>

#include "kernel/fs/open_file.hpp"
#include "kernel/lib/ref.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/lib/vector.hpp"

namespace faultline {

/// The descriptors of one process, or of several that were cloned with CLONE_FILES. Files are closed (which
/// may sleep) only after the table's lock has been released. The table owns the record locks of its files
/// (fs/file_lock.hpp), which end when any descriptor of a file is closed.
class FileTable final : public RefCounted {
 public:
  static constexpr unsigned kDefaultLimit = 1024;
  static constexpr unsigned kMaxLimit = 4096;

  FileTable() = default;
  ~FileTable() override;

  /// The open file of a descriptor. Error: BadFileDescriptor.
  Result<Ref<OpenFile>> get(int descriptor) const;

  /// Gives `file` the lowest free descriptor that is at least `lowest`.
  /// Errors: TooManyFiles, OutOfMemory; InvalidArgument when `lowest` is beyond the limit.
  Result<int> install(Ref<OpenFile> file, bool close_on_exec, int lowest = 0);

  /// Makes `descriptor` name `file`; what it named before is closed. Errors: BadFileDescriptor, OutOfMemory.
  Result<> replace(int descriptor, Ref<OpenFile> file, bool close_on_exec);

  /// Errors: BadFileDescriptor.
  Result<> close(int descriptor);
  /// Closes, or marks close-on-exec, every descriptor in [first, last].
  void close_range(unsigned first, unsigned last, bool only_mark);
  void close_for_exec();

  Result<bool> close_on_exec(int descriptor) const;
  Result<> set_close_on_exec(int descriptor, bool value);

  /// A table with the same open files, for fork. Error: OutOfMemory.
  Result<Ref<FileTable>> clone() const;

  /// The first descriptor in use that is at least `from`, or -1 (procfs lists them).
  int next_in_use(int from) const;

  /// How many descriptors the current process may have: no new one reaches this number.
  static unsigned limit();

 private:
  struct Entry {
    Ref<OpenFile> file;
    bool close_on_exec = false;
  };
  Result<> make_room(std::size_t count);
  /// What every file goes through that leaves the table; without the lock.
  void let_go(Ref<OpenFile> file) const;

  mutable SpinLock lock_{LockRank::FileSystem};
  Vector<Entry> entries_;
};

}  // namespace faultline
