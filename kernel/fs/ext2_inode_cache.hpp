#pragma once
// The inodes of one ext2 file system that are in memory.
//
// The cache itself holds one reference to each. So an inode is in use while its count is above one, and once
// it is seen at one under the cache's lock it stays there: every other reference would have to come from the
// cache. That is why dropping the last reference to a file never does any work, wherever it happens; an inode
// whose names are all gone is deleted by whoever calls next_unused_orphan() later.

#include <cstdint>

#include "kernel/fs/ext2_inode.hpp"
#include "kernel/lib/list.hpp"
#include "kernel/lib/ref.hpp"
#include "kernel/lib/spin_lock.hpp"

namespace faultline::ext2 {

class InodeCache {
 public:
  explicit InodeCache(Ext2FileSystem& file_system) : file_system_(file_system) {}
  ~InodeCache() { drop_all(); }

  // The caller of these seven holds the namespace lock: one thread at a time loads and drops inodes.

  /// The inode that a name refers to, from memory or from the disk. Errors: Corrupt, InputOutput,
  /// OutOfMemory.
  Result<Ref<Ext2Inode>> get(InodeNumber number);
  /// The same for an inode whose names may be gone.
  Result<Ref<Ext2Inode>> get_orphan(InodeNumber number);
  /// The directory with a number that may be out of date. NoSuchFile when the inode is free or something
  /// else.
  Result<Ref<Ext2Inode>> living_directory(std::uint64_t number);
  /// A new inode, which is not on the disk yet. Error: OutOfMemory.
  Result<Ref<Ext2Inode>> add(InodeNumber number, FileKind kind, const StoredInode& stored);
  /// The last name of an inode is gone, or it never got one.
  void lost_last_name(Ext2Inode& inode);
  /// Takes out an inode that has been erased. Who still holds it holds an empty file without a place on the
  /// disk.
  void discard(Ref<Ext2Inode> inode);
  /// Forgets the inodes that nobody uses and that are on the disk as they are, and their pages. Returns how
  /// many.
  std::size_t drop_unused();
  void drop_all();

  /// The inode in memory with the smallest number above `after` that has something to be written, or null.
  Ref<Ext2Inode> next_dirty(InodeNumber after);
  /// The inode in memory with the smallest number above `after` that has no name left, or null.
  Ref<Ext2Inode> next_orphan(InodeNumber after);
  /// The inode with the smallest number above `after` that has no name and no user, given to one caller
  /// alone, who deletes it; or null.
  Ref<Ext2Inode> next_unused_orphan(InodeNumber after);

 private:
  static constexpr std::size_t kBuckets = 128;
  static constexpr std::size_t kCapacity = 1024;

  List<Ext2Inode, InodeByNumber>& bucket(InodeNumber number) { return by_number_[number % kBuckets]; }
  Ext2Inode* find(InodeNumber number);
  Result<StoredInode> read(InodeNumber number);
  void insert(Ref<Ext2Inode> inode);
  void remove(Ext2Inode& inode);
  Result<> make_room();
  /// Takes an inode out that nobody but the caller holds and that is on the disk as it is; false when it is
  /// not so.
  bool forget(Ext2Inode& inode);
  static bool unused(const Ext2Inode& inode);
  template <class Predicate>
  Ref<Ext2Inode> next(InodeNumber after, Predicate predicate);

  Ext2FileSystem& file_system_;
  SpinLock lock_{LockRank::Inode};
  std::size_t count_ = 0;
  std::atomic<std::uint32_t> orphans_ = 0;
  List<Ext2Inode, InodeByAge> by_age_;  // least recently looked up first
  List<Ext2Inode, InodeByNumber> by_number_[kBuckets];
};

}  // namespace faultline::ext2
