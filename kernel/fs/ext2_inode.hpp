#pragma once
// A file on an ext2 disk, as long as it is in memory.

#include <atomic>
#include <cstdint>

#include "kernel/fs/buffer_cache.hpp"
#include "kernel/fs/ext2_block_map.hpp"
#include "kernel/fs/ext2_format.hpp"
#include "kernel/fs/inode.hpp"
#include "kernel/sync/mutex.hpp"

namespace faultline::ext2 {

class Ext2FileSystem;
class Volume;
struct InodeByNumber;
struct InodeByAge;

/// The inode as it stands on the disk.
struct StoredInode {
  RawInode raw = {};
  RawInodeExtra extra = {};  // meaningful up to extra.extra_size bytes
};

/// Locks of one inode, outermost first (inode.hpp has the whole order):
///   contents_lock_                     one writer or truncation at a time; its holder may touch user memory,
///                                      and make memory free for it
///   the file system's namespace lock   names in a directory, link counts, ".."
///   map_lock_                          block pointers and the count of sectors; what loading a page needs
///   state_lock_                        every other field of `stored_`
class Ext2Inode final : public Inode, public ListNode<InodeByNumber>, public ListNode<InodeByAge> {
 public:
  Ext2Inode(Ext2FileSystem& file_system, InodeNumber number, FileKind kind, const StoredInode& stored);
  ~Ext2Inode() override;

  InodeNumber number() const { return number_; }

  FileSystem& file_system() const override;
  FileKind kind() const override { return kind_; }
  Stat stat() const override;
  std::uint64_t device_number() const override;
  std::uint64_t inode_number() const override { return number_; }

  Result<Ref<Inode>> lookup(std::string_view name) override;
  Result<Ref<Inode>> create(std::string_view name, const NewFile& file) override;
  Result<Ref<Inode>> make_symbolic_link(std::string_view name, std::string_view target,
                                        const NewFile& owner) override;
  Result<> link(std::string_view name, Inode& target) override;
  Result<> unlink(std::string_view name) override;
  Result<> remove_directory(std::string_view name) override;
  Result<> rename(std::string_view name, Inode& new_directory, std::string_view new_name,
                  RenameMode mode) override;
  Result<> iterate(std::uint64_t& position, DirectoryVisitor& visitor) override;
  Result<std::size_t> read_link(std::span<char> target) override;

  Result<std::size_t> read_at(std::uint64_t offset, IoBuffer& buffer) override;
  Result<std::size_t> write_at(std::uint64_t& offset, IoBuffer& buffer, bool append) override;
  Result<> truncate(std::uint64_t size) override;
  Result<> synchronize() override;
  Result<> change_attributes(const AttributeChange& change) override;
  void mark_dirty(std::uint64_t index) override;

  // For the file system; the caller holds its namespace lock where names or links are concerned.

  std::uint16_t links() const;
  void set_links(std::uint16_t links);
  /// Writes the attributes into the inode table's buffer if they have changed.
  Result<> store();
  bool is_dirty() const { return dirty_.load(std::memory_order_acquire) != 0; }
  void mark_dirty_inode() {
    dirty_.store(1, std::memory_order_release);
    note_unwritten_change();
  }
  /// An inode without names and users: frees its blocks and marks it deleted. The inode itself is the
  /// caller's. After an error it can be called again, and goes on.
  Result<> erase();
  /// The list of orphans on the disk (ext2_inode_cache.hpp): the next one stands in the time of deletion.
  InodeNumber next_orphan() const;
  void set_next_orphan(InodeNumber next);

  // For directories and symbolic links, whose blocks are in the buffer cache.

  std::uint64_t block_count_of_directory() const;
  /// A block of the file; an empty reference for a hole.
  Result<BufferRef> metadata_block(std::uint64_t index);
  /// Grows a directory by one block of zeroes, or gives a symbolic link its block.
  Result<BufferRef> append_metadata_block();
  void contents_changed();
  /// The names are not sorted by hash any more (dir_index): a kernel that knows hashes must not rely on them.
  void clear_index_flag();
  Result<> set_link_target(std::string_view target);

 protected:
  Result<> read_pages(std::uint64_t first, std::span<const Pa> frames) override;
  Result<> write_pages(std::uint64_t first, std::span<const Pa> frames) override;
  // An orphan may be about to be erased.
  bool worth_writing() const override { return links() != 0; }

 private:
  Result<> check_room_for(std::string_view name);
  Result<Ref<Ext2Inode>> make_inode(const NewFile& file);
  void drop_link();
  Result<> check_removable();
  Result<> rename_locked(std::string_view name, Ext2Inode& target, std::string_view new_name,
                         RenameMode mode);
  Result<bool> is_below(const Ext2Inode& ancestor);

  Volume& volume() const;
  BlockMap map() { return BlockMap(volume(), number_, stored_.raw); }
  std::uint64_t maximum_size() const;
  bool has_fast_link() const;
  Result<> release_attribute_block();
  void was_read();
  Result<> zero_tail();
  Result<> write_contents(std::uint64_t position, IoBuffer& buffer);
  Result<> write_to_page(std::uint64_t position, std::size_t count, IoBuffer& buffer, std::uint64_t& written);
  Result<> allocate_range(std::uint64_t position, std::size_t count, std::size_t& room);
  Result<> free_blocks_beyond_end(const MutexGuard& map_guard);
  Result<> finish_truncation();
  Result<> limit_dirty_pages();
  Result<BlockNumber> block_for_write_back(std::uint64_t logical, std::span<const std::byte> memory);

  Ext2FileSystem& file_system_;
  const InodeNumber number_;
  const FileKind kind_;
  std::atomic<std::uint32_t> dirty_ = 0;  // 0 or 1
  // Where mark_dirty is called no time may be set; write-back does, if nothing else has since.
  std::atomic<bool> written_through_mapping_ = false;
  std::uint32_t pages_written_ = 0;  // since dirty pages were last written back; under contents_lock_
  Mutex contents_lock_{LockRank::FileSystem};
  mutable Mutex map_lock_{LockRank::PageCache};
  bool blocks_beyond_end_ = false;  // some could not be freed when the file became shorter; under map_lock_
  mutable SpinLock state_lock_{LockRank::InodeState};
  StoredInode stored_;
};

}  // namespace faultline::ext2
