#pragma once
// ext2 as a mounted file system: a volume, its inodes in memory, and one lock over all names.

#include "kernel/fs/ext2_inode_cache.hpp"
#include "kernel/fs/ext2_volume.hpp"
#include "kernel/fs/file_system.hpp"
#include "kernel/lib/heap.hpp"

namespace faultline::ext2 {

class Ext2FileSystem final : public FileSystem {
 public:
  /// Mounts the disk. When that cannot be done it prints one line that says why.
  static Result<Box<Ext2FileSystem>> mount(BlockDevice& device);
  ~Ext2FileSystem() override;

  std::string_view type() const override { return "ext2"; }
  std::string_view source() const override { return volume_->name(); }
  bool read_only() const override { return volume_->read_only(); }
  Ref<Inode> root() override { return root_; }
  FileSystemStatistics statistics() override;
  Result<Ref<Inode>> directory(std::uint64_t number) override;
  bool has_changes() override;
  Result<> synchronize() override;
  std::size_t drop_caches() override;
  Result<> unmount() override;

  /// Brings to the disk, as one, all that has changed. No lock of the file system may be held.
  Result<> commit();
  /// Makes a change that allocates or frees. Commits before it when too much waits for that already; and,
  /// when all room that is left was freed a moment ago, tries again after a commit. No lock of the file
  /// system may be held.
  template <class Change>
  auto change(Change make_change) {
    if (volume_->buffers().is_full_of_dirty()) (void)commit();  // it is the next fsync that must tell
    auto outcome = make_change();
    if (outcome || outcome.error() != KernelError::NoSpace || volume_->freed_blocks() == 0) return outcome;
    if (!commit()) return outcome;
    return make_change();
  }

  Volume& volume() { return *volume_; }
  InodeCache& inodes() { return inodes_; }
  /// Held over every change of names, link counts and directories, and over loading and dropping inodes.
  Mutex& namespace_lock() { return namespace_lock_; }
  std::uint64_t device_number() const { return DeviceNumber{254, 0}.encoded(); }

  /// Deletes the files that have neither a name nor a user. To be called where sleeping is allowed and no
  /// lock is held: after a name was removed, before space is given up for lost, and from time to time.
  void delete_orphans();

 private:
  template <class T, class... Arguments>
  friend Result<Box<T>> faultline::make_box(Arguments&&... arguments);
  explicit Ext2FileSystem(Box<Volume> volume);
  Result<> adopt_orphans_of_last_run();
  void delete_orphan(Ref<Ext2Inode> orphan);
  Result<> write_everything(Volume::Mark mark);

  Box<Volume> volume_;
  Mutex namespace_lock_{LockRank::FileSystem};
  InodeCache inodes_;
  Ref<Inode> root_;
  bool unmounted_ = false;
};

}  // namespace faultline::ext2
