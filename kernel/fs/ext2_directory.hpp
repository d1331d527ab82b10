#pragma once
// The names in an ext2 directory: blocks of entries, each of which says how long it is and covers its block
// without a gap. Free space is the slack at the end of an entry, or an entry without an inode. A directory
// that is indexed by hash is still a sequence of such blocks, its index hidden in slack, so it reads the
// same; the first change drops the index.
//
// The caller holds the file system's namespace lock. What an entry says is checked each time: it comes from
// the disk.

#include <optional>
#include <string_view>

#include "kernel/fs/ext2_inode.hpp"

namespace faultline::ext2 {

class Directory {
 public:
  explicit Directory(Ext2Inode& inode) : inode_(inode) {}

  /// Where an entry stands. Holds the block, so that an operation which has found all its places needs the
  /// disk no more, and cannot fail half-way.
  struct Place {
    InodeNumber inode;
    BufferRef block;
    std::size_t offset;  // of the entry in its block
  };

  /// Error: Corrupt, InputOutput, as all others.
  Result<std::optional<Place>> find(std::string_view name);
  /// Adds a name that is not there yet. Error: NoSpace.
  Result<> insert(std::string_view name, InodeNumber inode, FileKind kind);
  /// Error: Corrupt alone, as for redirect; then nothing has changed.
  Result<> remove(const Place& place);
  /// Makes an existing entry name another inode.
  Result<> redirect(const Place& place, InodeNumber inode, FileKind kind);
  /// Gives a new directory its first block, with "." and "..".
  Result<> initialize(InodeNumber parent);
  /// True when there is nothing but "." and "..".
  Result<bool> is_empty();
  Result<> iterate(std::uint64_t& position, DirectoryVisitor& visitor);

 private:
  struct Entry;
  Result<Entry> entry_at(const BufferRef& block, std::size_t offset);
  Result<std::optional<std::size_t>> find_room(const BufferRef& block, std::size_t needed);
  void write_entry(const BufferRef& block, std::size_t offset, std::size_t length, std::string_view name,
                   InodeNumber inode, FileKind kind);
  void changed();
  FileKind kind_of(const Entry& entry);
  std::size_t block_size() const;

  Ext2Inode& inode_;
};

}  // namespace faultline::ext2
