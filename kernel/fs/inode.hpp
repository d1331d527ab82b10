#pragma once
// A file, whatever its names and whoever has it open.
//
// Inode is the interface between system calls and file systems. Its contents, if it has any, are pages:
// PageCache holds them for read, write and mmap alike, so the three always agree.
//
// Locks, outermost first. A page fault may happen while a file copies from or to user memory, and it loads a
// page of any file; hence what a fault needs stands to the right of the memory lock. When memory is short for
// such a copy files are written back (memory_relief.hpp), with all that belongs to them; hence the contents
// stand to the left of the names.
//
//     offset of an open file -> contents (write, truncate; a pipe's) -> namespace (directories of one file
//         system) -> [memory lock of a process] -> a page's state -> block map of the inode -> allocator
//         -> buffer cache

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernel/fs/io_buffer.hpp"
#include "kernel/fs/stat.hpp"
#include "kernel/lib/ref.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/mm/page_cache.hpp"

namespace faultline {

class FileLocks;
class FileSystem;
class Inode;
class OpenFile;
struct OpenFlags;

/// Longest name in a directory, without the terminating zero (NAME_MAX).
inline constexpr std::size_t kMaxNameLength = 255;

/// What a new file starts with.
struct NewFile {
  FileKind kind = FileKind::Regular;
  std::uint32_t permissions = 0;  // mode::kPermissions bits, umask already applied
  std::uint32_t user = 0;
  std::uint32_t group = 0;
  DeviceNumber device = {};  // of special files
};

/// One name in a directory.
struct DirectoryEntry {
  std::string_view name;
  std::uint64_t inode;
  FileKind kind;
  std::uint64_t next;  // position of the entry behind this one
};

/// Receives the entries of a directory.
class DirectoryVisitor {
 public:
  /// False: no more; this entry has not been taken and comes again at the next iteration. The directory is
  /// locked meanwhile; copying to user memory is allowed, other operations on files are not.
  virtual bool visit(const DirectoryEntry& entry) = 0;

 protected:
  ~DirectoryVisitor() = default;
};

enum class RenameMode : std::uint8_t {
  Replace,    // an existing target is replaced (rename)
  NoReplace,  // an existing target gives AlreadyExists (RENAME_NOREPLACE)
};

/// Operations that a kind of file does not have give NotDirectory, InvalidArgument or NotPermitted as Linux
/// does. Names are single components, neither empty nor with a slash, at most kMaxNameLength bytes; "." and
/// ".." are legal for lookup alone. The callers (path.hpp) have checked permissions.
class Inode : public PageCache {
 public:
  /// The inode behind a mapping's file, or null when the mapping's file is none.
  static Inode* from(RegularFile* file) {
    return file != nullptr && file->inode_number() != 0 ? static_cast<Inode*>(file) : nullptr;
  }

  ~Inode() override;

  virtual FileSystem& file_system() const = 0;
  virtual FileKind kind() const = 0;
  virtual Stat stat() const = 0;

  bool is_directory() const { return kind() == FileKind::Directory; }
  bool is_regular() const { return kind() == FileKind::Regular; }

  /// The file for mmap, or null if this kind of file cannot be mapped.
  RegularFile* mappable() { return is_regular() ? this : nullptr; }

  std::uint64_t device_number() const override { return stat().device; }
  std::uint64_t inode_number() const override { return stat().inode; }

  // Directories.

  /// Errors: NoSuchFile, NotDirectory.
  [[nodiscard]] virtual Result<Ref<Inode>> lookup(std::string_view name);
  /// Makes a file of any kind but a symbolic link. Error: AlreadyExists.
  [[nodiscard]] virtual Result<Ref<Inode>> create(std::string_view name, const NewFile& file);
  [[nodiscard]] virtual Result<Ref<Inode>> make_symbolic_link(std::string_view name, std::string_view target,
                                                              const NewFile& owner);
  /// `target` must be of this file system (CrossDevice) and no directory (NotPermitted).
  [[nodiscard]] virtual Result<> link(std::string_view name, Inode& target);
  [[nodiscard]] virtual Result<> unlink(std::string_view name);
  [[nodiscard]] virtual Result<> remove_directory(std::string_view name);
  [[nodiscard]] virtual Result<> rename(std::string_view name, Inode& new_directory,
                                        std::string_view new_name, RenameMode mode);
  /// Shows the entries from `position` on, and moves it. Position 0 is the start; others come from entries.
  [[nodiscard]] virtual Result<> iterate(std::uint64_t& position, DirectoryVisitor& visitor);

  // Symbolic links.

  /// The length of the target, of which as much as fits is copied.
  [[nodiscard]] virtual Result<std::size_t> read_link(std::span<char> target);

  /// For a link that refers to a file itself instead of to a path (those of /proc): that file. Null for
  /// others.
  virtual Ref<Inode> link_target() { return nullptr; }

  // Contents.

  /// Both return the bytes moved; 0 from read_at means end of file. `append` writes at the end, whatever the
  /// offset, and sets `offset` to where that was.
  [[nodiscard]] virtual Result<std::size_t> read_at(std::uint64_t offset, IoBuffer& buffer);
  [[nodiscard]] virtual Result<std::size_t> write_at(std::uint64_t& offset, IoBuffer& buffer, bool append);
  [[nodiscard]] virtual Result<> truncate(std::uint64_t size);
  /// Returns when contents and attributes are on the disk.
  [[nodiscard]] virtual Result<> synchronize();

  [[nodiscard]] virtual Result<> change_attributes(const AttributeChange& change);

  /// An open file description. Checks neither permissions nor O_CREAT and friends: path.hpp does.
  [[nodiscard]] virtual Result<Ref<OpenFile>> open(const OpenFlags& flags);

  /// Where this inode was last found: the inode number of that directory; 0 if unknown. A hint for path_of().
  std::uint64_t parent_hint() const { return parent_hint_.load(std::memory_order_relaxed); }
  void set_parent_hint(std::uint64_t number) { parent_hint_.store(number, std::memory_order_relaxed); }

  /// The advisory locks of the file (file_lock.hpp); null as long as nobody has taken one. locks_for_use
  /// makes them; error: OutOfMemory.
  FileLocks* locks() const { return locks_.load(std::memory_order_acquire); }
  [[nodiscard]] Result<FileLocks*> locks_for_use();

  /// For WriteAccess and ExecutedFile (file_use.hpp). False: the other use is going on.
  [[nodiscard]] bool count_writer() { return count_use(1); }
  void uncount_writer() { uses_.fetch_sub(1, std::memory_order_release); }
  [[nodiscard]] bool count_program() { return count_use(-1); }
  void uncount_program() { uses_.fetch_add(1, std::memory_order_release); }

  /// For leases (file_lease.hpp): how many open file descriptions there are, and how many writers, or below 0
  /// how many programs run from the file.
  void count_open() { opens_.fetch_add(1, std::memory_order_seq_cst); }
  void uncount_open() { opens_.fetch_sub(1, std::memory_order_relaxed); }
  unsigned times_open() const { return opens_.load(std::memory_order_seq_cst); }
  std::int32_t writers() const { return uses_.load(std::memory_order_seq_cst); }

  /// The file system that is mounted on this directory, if any (file_system.hpp).
  FileSystem* mounted_here() const { return mounted_here_.load(std::memory_order_acquire); }
  void set_mounted_here(FileSystem* mounted) { mounted_here_.store(mounted, std::memory_order_release); }

 protected:
  // Inodes without stored contents have no pages.
  Result<> read_pages(std::uint64_t first, std::span<const Pa> frames) override;
  Result<> write_pages(std::uint64_t first, std::span<const Pa> frames) override;

 private:
  bool count_use(std::int32_t step);

  std::atomic<std::uint64_t> parent_hint_ = 0;
  std::atomic<FileSystem*> mounted_here_ = nullptr;
  std::atomic<FileLocks*> locks_ = nullptr;
  std::atomic<unsigned> opens_ = 0;
  std::atomic<std::int32_t> uses_ = 0;  // how many write; below 0, how many programs run from the file
};

}  // namespace faultline
