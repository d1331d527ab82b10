#pragma once
// File systems and where they are mounted: / is the disk, /dev and /proc are made by the kernel.

#include <span>
#include <string_view>

#include "kernel/fs/inode.hpp"
#include "kernel/fs/stat.hpp"
#include "kernel/lib/ref.hpp"
#include "kernel/lib/result.hpp"

namespace faultline {

class BlockDevice;

class FileSystem {
 public:
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;
  virtual ~FileSystem() = default;

  virtual std::string_view type() const = 0;    // "ext2"
  virtual std::string_view source() const = 0;  // "/dev/vda"
  virtual bool read_only() const = 0;
  virtual Ref<Inode> root() = 0;
  virtual FileSystemStatistics statistics() = 0;
  /// The directory with this inode number, for the way from a file to its name. NoSuchFile when there is
  /// none.
  [[nodiscard]] virtual Result<Ref<Inode>> directory(std::uint64_t number) = 0;

  /// Returns when all that was written before is on the disk.
  [[nodiscard]] virtual Result<> synchronize() { return {}; }
  /// False when synchronize() would have nothing to do.
  virtual bool has_changes() { return false; }
  /// Writes everything back and marks the disk clean. Only after this may the power go off.
  [[nodiscard]] virtual Result<> unmount() { return {}; }

  /// Gives back memory whose contents can be read from the disk again: inodes and blocks that nobody uses and
  /// that have not changed. Returns how many of them. Sleeps.
  virtual std::size_t drop_caches() { return 0; }

  /// The directory that this file system covers; null for the root.
  Inode* covered() const { return covered_.get(); }

 protected:
  FileSystem() = default;

 private:
  friend Result<> mount_at(FileSystem&, Ref<Inode>);
  Ref<Inode> covered_;
};

/// Mounts the first of the disks that holds a file system as the root, and devfs and procfs on /dev and
/// /proc. Prints one line for each disk before it that says why not, and which it is where there are several.
/// Call once, from a thread. Error: the last disk's.
[[nodiscard]] Result<> mount_root(std::span<BlockDevice* const> disks);

/// Puts a file system over a directory. Error: NotDirectory, Busy when something is mounted there.
[[nodiscard]] Result<> mount_at(FileSystem& mounted, Ref<Inode> directory);

/// The root directory. mount_root has succeeded.
Ref<Inode> root_directory();

/// sync(2): every file system. The first error, after all have been tried.
Result<> sync_all();

/// Before power-off; the file systems are unusable afterwards. Prints one line for each that could not be
/// saved.
void unmount_all();

namespace detail {
FileSystem* mounted_file_system(std::size_t index);
}

/// Calls f(mounted file system) for each mount, the root first.
template <class F>
void for_each_mount(F f) {
  for (std::size_t i = 0; FileSystem* mounted = detail::mounted_file_system(i); ++i) f(*mounted);
}

/// FileSystem::drop_caches of every file system; how many inodes and blocks that was. Sleeps.
std::size_t drop_file_system_caches();
/// Drops every clean page of a file that nobody maps or uses.
void drop_cached_pages();

/// Under memory pressure: writes back dirty pages so that PageCache can drop them. Sleeps.
void write_back_some();

}  // namespace faultline
