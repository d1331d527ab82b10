#pragma once
// What path names mean to a process: its root, its working directory and its umask.

#include <cstdint>

#include "kernel/fs/inode.hpp"
#include "kernel/lib/ref.hpp"
#include "kernel/lib/spin_lock.hpp"

namespace faultline {

/// Shared by processes that were cloned with CLONE_FS.
class FileSystemContext final : public RefCounted {
 public:
  FileSystemContext(Ref<Inode> root, Ref<Inode> working_directory)
      : root_(std::move(root)), working_directory_(std::move(working_directory)) {}

  Ref<Inode> root() const { return get(root_); }
  Ref<Inode> working_directory() const { return get(working_directory_); }
  void set_root(Ref<Inode> directory) { set(root_, std::move(directory)); }
  void set_working_directory(Ref<Inode> directory) { set(working_directory_, std::move(directory)); }

  std::uint32_t umask() const { return umask_.load(std::memory_order_relaxed); }
  std::uint32_t exchange_umask(std::uint32_t mask) { return umask_.exchange(mask & 0777); }

  /// A copy for fork. Error: OutOfMemory.
  Result<Ref<FileSystemContext>> clone() const {
    Ref<FileSystemContext> copy = TRY(make_ref<FileSystemContext>(root(), working_directory()));
    copy->exchange_umask(umask());
    return copy;
  }

 private:
  Ref<Inode> get(const Ref<Inode>& directory) const {
    SpinGuard guard(lock_);
    return directory;
  }
  void set(Ref<Inode>& place, Ref<Inode> directory) {
    SpinGuard guard(lock_);
    std::swap(place, directory);
    guard.release();  // the old directory is dropped without the lock: that may sleep
  }

  mutable SpinLock lock_{LockRank::FileSystem};
  Ref<Inode> root_;
  Ref<Inode> working_directory_;
  std::atomic<std::uint32_t> umask_ = 022;
};

}  // namespace faultline
