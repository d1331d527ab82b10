#include "kernel/fs/ext2_file_system.hpp"

#include "kernel/dev/console.hpp"

namespace faultline::ext2 {

Ext2FileSystem::Ext2FileSystem(Box<Volume> volume) : volume_(std::move(volume)), inodes_(*this) {}

Ext2FileSystem::~Ext2FileSystem() { root_ = nullptr; }

Result<Box<Ext2FileSystem>> Ext2FileSystem::mount(BlockDevice& device) {
  Box<Volume> volume = TRY(Volume::open(device));
  const auto refuse = [&](KernelError error, std::string_view what) {
    print("faultline: {}: {}: {}\n", device.name(), what, describe(error));
    return failure(error);
  };
  Result<Box<Ext2FileSystem>> made = make_box<Ext2FileSystem>(std::move(volume));
  if (!made) return refuse(made.error(), "the disk cannot be mounted");
  Box<Ext2FileSystem> file_system = *std::move(made);
  Volume& disk = *file_system->volume_;
  Result<Ref<Ext2Inode>> root = [&] {
    MutexGuard guard(file_system->namespace_lock_);
    return file_system->inodes_.get(kRootInode);
  }();
  if (!root && root.error() == KernelError::Corrupt) return failure(root.error());  // has been reported
  if (!root) return refuse(root.error(), "the root directory cannot be read");
  if (!(*root)->is_directory()) return refuse(KernelError::Corrupt, "the root directory is none");
  file_system->root_ = *std::move(root);
  if (!disk.read_only()) {
    if (disk.was_replayed()) {
      print("faultline: {}: was not unmounted; what its journal held has been written\n", device.name());
    } else if (!disk.was_clean()) {
      print("faultline: {}: was not unmounted, or has errors: let e2fsck look at it\n", device.name());
    }
    if (const auto marked = disk.mark_in_use(); !marked)
      return refuse(marked.error(), "the disk cannot be written");
    if (const auto adopted = file_system->adopt_orphans_of_last_run(); !adopted)
      print("faultline: {}: files left over from the last run stay: {}\n", device.name(),
            describe(adopted.error()));
  }
  return file_system;
}

// After a power failure the superblock may head a list of inodes that had lost their names but were open.
Result<> Ext2FileSystem::adopt_orphans_of_last_run() {
  {
    MutexGuard guard(namespace_lock_);
    InodeNumber number = volume_->last_orphan();
    volume_->set_last_orphan(0);
    for (std::uint32_t i = 0; number != 0 && i < volume_->inode_count(); ++i) {
      if (!volume_->is_valid_inode(number))
        return failure(volume_->damaged("wrong inode in the list of orphans", number));
      const Ref<Ext2Inode> orphan = TRY(inodes_.get_orphan(number));  // the cache counts it
      number = orphan->next_orphan();
    }
  }
  delete_orphans();
  return {};
}

void Ext2FileSystem::delete_orphans() {
  if (volume_->read_only()) return;
  // Each turn has an orphan of its own. NOLINTNEXTLINE(bugprone-use-after-move)
  for (InodeNumber last = 0; Ref<Ext2Inode> orphan = inodes_.next_unused_orphan(last);) {
    last = orphan->number();
    MutexGuard guard(namespace_lock_);
    delete_orphan(std::move(orphan));
  }
}

// What cannot be freed now stays an orphan, in memory and in the disk's list, and is tried again.
void Ext2FileSystem::delete_orphan(Ref<Ext2Inode> orphan) {
  if (orphan->erase() && volume_->free_inode(orphan->number(), orphan->is_directory()))
    inodes_.discard(std::move(orphan));
}

FileSystemStatistics Ext2FileSystem::statistics() {
  delete_orphans();
  return volume_->statistics();
}

Result<Ref<Inode>> Ext2FileSystem::directory(std::uint64_t number) {
  MutexGuard guard(namespace_lock_);
  return TRY(inodes_.living_directory(number));
}

// Data first, then everything else as one: under the lock of all names directories, link counts and inodes
// fit together. What others write to files meanwhile may be on the disk in part: blocks with an owner in the
// bitmap alone. Chains those inodes that have no name but are still open, so that after a power failure they
// are found (RawInode::delete_time).
Result<> Ext2FileSystem::write_everything(Volume::Mark mark) {
  Result<> outcome;
  const auto note = [&](Result<> result) {
    if (outcome && !result) outcome = result;
  };
  for (InodeNumber last = 0; Ref<Ext2Inode> inode = inodes_.next_dirty(last);) {
    last = inode->number();
    // Nobody will look for the contents of an orphan; and they may be about to be erased.
    if (inode->links() != 0) note(inode->write_back(0, UINT64_MAX));
  }
  MutexGuard guard(namespace_lock_);
  // A file that becomes shorter after it has been stored here must wait with its blocks for the next time.
  const std::size_t freed = volume_->freed_blocks();
  InodeNumber next = 0;
  for (InodeNumber last = 0; Ref<Ext2Inode> orphan = inodes_.next_orphan(last);) {
    last = orphan->number();
    orphan->set_next_orphan(next);
    next = last;
  }
  volume_->set_last_orphan(next);
  for (InodeNumber last = 0; Ref<Ext2Inode> inode = inodes_.next_dirty(last);) {
    last = inode->number();
    note(inode->store());
  }
  note(volume_->write_back(outcome ? mark : Volume::Mark::InUse, outcome ? freed : 0));
  return outcome;
}

bool Ext2FileSystem::has_changes() {
  return !volume_->never_written() && (inodes_.next_dirty(0) || volume_->buffers().has_dirty());
}

Result<> Ext2FileSystem::synchronize() {
  delete_orphans();
  TRY(commit());
  // Blocks that had been freed have become free by it.
  return volume_->buffers().has_dirty() ? commit() : Result<>();
}

Result<> Ext2FileSystem::commit() {
  if (unmounted_ || volume_->never_written()) return {};
  return write_everything(Volume::Mark::InUse);
}

std::size_t Ext2FileSystem::drop_caches() {
  std::size_t inodes = 0;
  {
    MutexGuard guard(namespace_lock_);
    inodes = inodes_.drop_unused();
  }
  return inodes + volume_->buffers().drop_clean(SIZE_MAX);
}

Result<> Ext2FileSystem::unmount() {
  if (unmounted_ || volume_->never_written()) return {};
  if (!volume_->read_only()) {
    // Those that somebody still has open, too: nobody runs any more.
    MutexGuard guard(namespace_lock_);
    // NOLINTNEXTLINE(bugprone-use-after-move)
    for (InodeNumber last = 0; Ref<Ext2Inode> orphan = inodes_.next_orphan(last);) {
      last = orphan->number();
      delete_orphan(std::move(orphan));
    }
  }
  unmounted_ = true;
  return write_everything(Volume::Mark::Clean);
}

}  // namespace faultline::ext2
