#pragma once
// The disk beneath an ext2 file system: its geometry, its free space, its blocks. Knows nothing of names or
// open files.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernel/dev/block_device.hpp"
#include "kernel/fs/buffer_cache.hpp"
#include "kernel/fs/ext2_format.hpp"
#include "kernel/fs/ext2_journal.hpp"
#include "kernel/fs/stat.hpp"
#include "kernel/lib/heap.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/lib/vector.hpp"
#include "kernel/sync/mutex.hpp"

namespace faultline::ext2 {

class Volume {
 public:
  /// Reads and checks the superblock and the group descriptors. When the disk cannot be used it prints one
  /// line that says why and returns Corrupt, NotSupported, InputOutput or OutOfMemory.
  static Result<Box<Volume>> open(BlockDevice& device);

  std::size_t block_size() const { return block_size_; }
  std::uint32_t block_count() const { return superblock_.block_count; }
  std::uint32_t inode_count() const { return superblock_.inode_count; }
  std::size_t inode_size() const { return inode_size_; }
  /// Bytes behind the RawInode that a new inode uses.
  std::size_t extra_inode_bytes() const { return extra_inode_bytes_; }
  bool entries_have_kinds() const { return (superblock_.incompatible & kIncompatFileType) != 0; }
  InodeNumber journal_inode() const { return superblock_.journal_inode; }
  std::uint64_t sector_of(BlockNumber block) const {
    return std::uint64_t{block} * (block_size_ / kSectorSize);
  }
  const char* name() const { return device_.name(); }
  BlockDevice& device() { return device_; }
  BufferCache& buffers() { return buffers_; }

  /// ReadOnlyFileSystem when nothing may be changed: by the disk, by its features, or because damage was
  /// found.
  Result<> check_writable() const {
    if (read_only_.load(std::memory_order_relaxed)) return failure(KernelError::ReadOnlyFileSystem);
    return {};
  }
  bool read_only() const { return read_only_.load(std::memory_order_relaxed); }
  /// True when not a byte of the disk may change: by the disk or by its features. After damage was found this
  /// is false: what had been changed before is still written.
  bool never_written() const { return never_written_; }

  /// Damage was found: prints one line (the first time) and allows no more changes.
  /// Use: `return failure(volume.damaged("...", number));`
  KernelError damaged(std::string_view what, std::uint64_t number);

  /// Whether a pointer that stands on the disk may be followed.
  bool is_valid_block(BlockNumber block) const {
    return block > superblock_.first_data_block && block < superblock_.block_count;
  }

  /// A free block, at or after `goal` if there is one near. Its contents are what was left there. Error:
  /// NoSpace.
  Result<BlockNumber> allocate_block(BlockNumber goal);
  /// Gives a block back. What the buffer cache holds of it will not be written; nobody gets it before the
  /// next write_back has brought to the disk that its owner does not refer to it any more. Error:
  /// OutOfMemory.
  Result<> free_block(BlockNumber block);
  /// Gives a block back at once, to which nothing on the disk or in the cache refers.
  Result<> give_up_block(BlockNumber block);
  /// Blocks that wait for a write_back.
  std::size_t freed_blocks() const;

  /// A free inode: a file near its directory, a directory where there is room. Error: NoSpace.
  Result<InodeNumber> allocate_inode(InodeNumber parent, bool directory);
  Result<> free_inode(InodeNumber inode, bool directory);
  bool is_valid_inode(InodeNumber inode) const {
    return inode == kRootInode || (inode >= first_inode_ && inode <= superblock_.inode_count);
  }

  /// Where in the inode tables an inode stands. `inode` is valid.
  struct InodePlace {
    BlockNumber block;
    std::size_t offset;
  };
  InodePlace place_of(InodeNumber inode) const;
  /// Where the data of an inode without any blocks should go.
  BlockNumber first_goal(InodeNumber inode) const;

  /// A file of 2 GiB or more needs a mark in the superblock. Error: FileTooLarge when the format cannot have
  /// one.
  Result<> allow_large_files();

  /// Head of the list of inodes without a name that were open when the disk was last written.
  InodeNumber last_orphan() const { return superblock_.last_orphan; }
  void set_last_orphan(InodeNumber inode) { superblock_.last_orphan = inode; }

  /// Marks the disk as in use, so that a power failure shows. From then on the journal is used, if there is
  /// one.
  Result<> mark_in_use();
  /// What the disk was like when it was opened.
  bool was_clean() const { return (state_when_opened_ & kStateClean) != 0; }
  bool was_replayed() const { return replayed_ == Replayed::Yes; }
  enum class Mark : std::uint8_t { InUse, Clean };
  /// Writes descriptors, superblock and all buffers, and flushes the disk's own cache.
  /// Of the blocks that have been freed, the first `freed` are free then: those that no inode in the buffers
  /// refers to any more.
  Result<> write_back(Mark mark, std::size_t freed);

  FileSystemStatistics statistics();

 private:
  template <class T, class... Arguments>
  friend Result<Box<T>> faultline::make_box(Arguments&&... arguments);
  Volume(BlockDevice& device, const Superblock& superblock);

  enum class Replayed : std::uint8_t { No, Yes };
  static Result<Box<Volume>> open(BlockDevice& device, Replayed replayed);
  Result<> replay_journal();
  Result<> clear_bit_of(BlockNumber block);
  Result<> release_freed(std::size_t count);
  Result<> read_descriptors();
  bool descriptor_is_sound(const GroupDescriptor& group) const;
  Result<> store_descriptors();
  Result<> store_superblock(Mark mark);

  std::uint32_t group_count() const { return static_cast<std::uint32_t>(groups_.size()); }
  std::uint32_t group_of(BlockNumber block) const {
    return (block - superblock_.first_data_block) / superblock_.blocks_per_group;
  }
  BlockNumber first_block_of(std::uint32_t group) const {
    return superblock_.first_data_block + group * superblock_.blocks_per_group;
  }
  std::uint32_t blocks_in(std::uint32_t group) const;
  std::uint32_t inode_table_blocks() const {
    return static_cast<std::uint32_t>(superblock_.inodes_per_group * inode_size_ / block_size_);
  }
  bool is_metadata(BlockNumber block) const;
  Result<BlockNumber> allocate_in_group(std::uint32_t group, std::uint32_t from);
  std::uint32_t choose_group_for_directory() const;

  BlockDevice& device_;
  Superblock superblock_;
  std::size_t block_size_;
  std::size_t inode_size_;
  std::size_t extra_inode_bytes_ = 0;
  InodeNumber first_inode_;
  std::uint16_t state_when_opened_;
  bool never_written_;
  std::atomic<bool> read_only_;
  std::atomic<std::uint32_t> damaged_ = 0;  // 0 or 1
  Replayed replayed_ = Replayed::No;
  BufferCache buffers_;
  Box<Journal> journal_;  // null: none, or not one that this kernel can use

  // Covers the bitmaps, groups_ and the counts in superblock_. Inside it only buffers are asked for.
  mutable Mutex allocation_lock_{LockRank::PageCache};
  Vector<GroupDescriptor> groups_;
  Vector<BlockNumber> freed_;  // still marked in the bitmaps: the disk may refer to them
};

}  // namespace faultline::ext2
