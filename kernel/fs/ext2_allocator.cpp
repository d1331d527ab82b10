// Free space of an ext2 volume. A file's blocks follow one another as far as they can: the caller's goal is
// the block behind the file's last one, and the search goes forward from there, then through the other
// groups.

#include <algorithm>

#include "kernel/fs/bitmap.hpp"
#include "kernel/fs/ext2_volume.hpp"

namespace faultline::ext2 {

bool Volume::is_metadata(BlockNumber block) const {
  const GroupDescriptor& group = groups_[group_of(block)];
  return block == group.block_bitmap || block == group.inode_bitmap ||
         (block >= group.inode_table && block - group.inode_table < inode_table_blocks());
}

Result<BlockNumber> Volume::allocate_in_group(std::uint32_t group, std::uint32_t from) {
  const BufferRef bitmap = TRY(buffers_.read(groups_[group].block_bitmap));
  const std::uint32_t limit = blocks_in(group);
  auto index = find_clear_bit(bitmap.bytes(), from, limit);
  if (!index && from != 0) index = find_clear_bit(bitmap.bytes(), 0, from);
  if (!index) return failure(damaged("wrong count of free blocks in group", group));
  const BlockNumber block = first_block_of(group) + static_cast<BlockNumber>(*index);
  if (!is_valid_block(block) || is_metadata(block))
    return failure(damaged("damaged block bitmap of group", group));
  set_bit(bitmap.bytes(), *index);
  bitmap.mark_dirty();
  --groups_[group].free_blocks;
  if (superblock_.free_blocks > 0) --superblock_.free_blocks;
  return block;
}

Result<BlockNumber> Volume::allocate_block(BlockNumber goal) {
  TRY(check_writable());
  MutexGuard guard(allocation_lock_);
  if (!is_valid_block(goal)) goal = superblock_.first_data_block;
  const std::uint32_t first = group_of(goal);
  for (std::uint32_t i = 0; i < group_count(); ++i) {
    const std::uint32_t group = (first + i) % group_count();
    if (groups_[group].free_blocks == 0) continue;
    return allocate_in_group(group, i == 0 ? goal - first_block_of(group) : 0);
  }
  return failure(KernelError::NoSpace);
}

Result<> Volume::free_block(BlockNumber block) {
  if (!is_valid_block(block) || is_metadata(block)) return failure(damaged("wrong block number", block));
  MutexGuard guard(allocation_lock_);
  const std::uint32_t group = group_of(block);
  {
    const BufferRef bitmap = TRY(buffers_.read(groups_[group].block_bitmap));
    if (!test_bit(bitmap.bytes(), block - first_block_of(group)))
      return failure(damaged("two owners of block", block));
  }
  TRY(freed_.push_back(block));
  // The block stays ours until its old contents cannot reach the disk any more.
  buffers_.forget(block);
  return {};
}

Result<> Volume::give_up_block(BlockNumber block) {
  MutexGuard guard(allocation_lock_);
  return clear_bit_of(block);
}

Result<> Volume::clear_bit_of(BlockNumber block) {
  const std::uint32_t group = group_of(block);
  const BufferRef bitmap = TRY(buffers_.read(groups_[group].block_bitmap));
  const std::uint32_t index = block - first_block_of(group);
  // Freed twice, by a damaged disk's two owners.
  if (!test_bit(bitmap.bytes(), index)) return failure(damaged("two owners of block", block));
  buffers_.forget(block);
  clear_bit(bitmap.bytes(), index);
  bitmap.mark_dirty();
  ++groups_[group].free_blocks;
  ++superblock_.free_blocks;
  return {};
}

std::size_t Volume::freed_blocks() const {
  MutexGuard guard(allocation_lock_);
  return freed_.size();
}

// The first `count` of the freed blocks may have new owners now.
Result<> Volume::release_freed(std::size_t count) {
  MutexGuard guard(allocation_lock_);
  Result<> outcome;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < freed_.size(); ++i) {
    if (i < count && outcome) {
      outcome = clear_bit_of(freed_[i]);
      if (outcome || outcome.error() == KernelError::Corrupt) continue;
    }
    freed_[kept++] = freed_[i];
  }
  while (freed_.size() > kept) freed_.pop_back();
  if (kept == 0) freed_ = {};  // what many removals at once took stays with nobody
  return outcome;
}

// Directories are spread out, so that each has room for its files: of the groups with at least the average
// number of free inodes the one with most free blocks.
std::uint32_t Volume::choose_group_for_directory() const {
  const std::uint32_t average = superblock_.free_inodes / group_count();
  std::uint32_t best = 0;
  bool found = false;
  for (std::uint32_t i = 0; i < group_count(); ++i) {
    if (groups_[i].free_inodes == 0 || groups_[i].free_inodes < average) continue;
    if (!found || groups_[i].free_blocks > groups_[best].free_blocks) best = i;
    found = true;
  }
  return best;
}

Result<InodeNumber> Volume::allocate_inode(InodeNumber parent, bool directory) {
  TRY(check_writable());
  MutexGuard guard(allocation_lock_);
  const std::uint32_t first =
      directory ? choose_group_for_directory() : (parent - 1) / superblock_.inodes_per_group;
  for (std::uint32_t i = 0; i < group_count(); ++i) {
    const std::uint32_t group = (first + i) % group_count();
    if (groups_[group].free_inodes == 0) continue;
    const BufferRef bitmap = TRY(buffers_.read(groups_[group].inode_bitmap));
    const auto index = find_clear_bit(bitmap.bytes(), 0, superblock_.inodes_per_group);
    if (!index) return failure(damaged("wrong count of free inodes in group", group));
    const InodeNumber inode = group * superblock_.inodes_per_group + static_cast<InodeNumber>(*index) + 1;
    if (inode < first_inode_) return failure(damaged("damaged inode bitmap of group", group));
    set_bit(bitmap.bytes(), *index);
    bitmap.mark_dirty();
    --groups_[group].free_inodes;
    if (superblock_.free_inodes > 0) --superblock_.free_inodes;
    if (directory) ++groups_[group].directories;
    return inode;
  }
  return failure(KernelError::NoSpace);
}

Result<> Volume::free_inode(InodeNumber inode, bool directory) {
  MutexGuard guard(allocation_lock_);
  const std::uint32_t group = (inode - 1) / superblock_.inodes_per_group;
  const std::uint32_t index = (inode - 1) % superblock_.inodes_per_group;
  const BufferRef bitmap = TRY(buffers_.read(groups_[group].inode_bitmap));
  if (!test_bit(bitmap.bytes(), index)) return failure(damaged("two owners of inode", inode));
  clear_bit(bitmap.bytes(), index);
  bitmap.mark_dirty();
  ++groups_[group].free_inodes;
  ++superblock_.free_inodes;
  if (directory && groups_[group].directories > 0) --groups_[group].directories;
  return {};
}

}  // namespace faultline::ext2
