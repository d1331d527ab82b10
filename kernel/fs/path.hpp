#pragma once
// From paths to inodes: walking, permission checks, and the operations of system calls that take names.
//
// There is no cache of names: a directory's blocks are cached and short. What a walk finds is an inode; the
// way back to a name (getcwd, /proc/PID/exe) goes by ".." and a search in the parent.

#include <cstdint>
#include <span>
#include <string_view>

#include "kernel/fs/inode.hpp"
#include "kernel/fs/open_file.hpp"

namespace faultline {

inline constexpr std::size_t kMaxPathLength = 4096;  // with the terminating zero (PATH_MAX)
inline constexpr unsigned kMaxSymbolicLinks = 40;

/// In whose name a path is walked.
struct FileCredentials {
  std::uint32_t user = 0;
  std::uint32_t group = 0;
  std::span<const std::uint32_t> groups;  // supplementary
  bool privileged() const { return user == 0; }
};

/// Where a walk starts. All references live as long as the walk.
struct PathContext {
  Inode* root;   // for absolute paths and targets of links
  Inode* start;  // for relative paths: the working directory or that of a descriptor
  FileCredentials credentials;
};

enum class FollowLast : bool { No, Yes };

/// What access is asked for, as access(2)'s bits.
namespace access_mode {
inline constexpr std::uint32_t kExecute = 1, kWrite = 2, kRead = 4;
}

/// AccessDenied when the permission bits do not allow `access` (access_mode bits); ReadOnlyFileSystem for
/// writing.
[[nodiscard]] Result<> check_access(const Inode& inode, std::uint32_t access,
                                    const FileCredentials& credentials);

/// The inode a path names. Errors: NoSuchFile (an empty path too), NotDirectory, AccessDenied,
/// TooManySymbolicLinks, NameTooLong.
[[nodiscard]] Result<Ref<Inode>> resolve(const PathContext& context, std::string_view path,
                                         FollowLast follow);

/// open(2), with creation and truncation. `permissions` are those of a new file, umask applied.
[[nodiscard]] Result<Ref<OpenFile>> open_path(const PathContext& context, std::string_view path,
                                              OpenFlags flags, std::uint32_t permissions);

/// mknod and mkdir; user and group of `file` are filled in from the credentials.
[[nodiscard]] Result<Ref<Inode>> create_path(const PathContext& context, std::string_view path, NewFile file);
[[nodiscard]] Result<> make_symbolic_link_path(const PathContext& context, std::string_view path,
                                               std::string_view target);
[[nodiscard]] Result<> link_path(const PathContext& old_context, std::string_view old_path, FollowLast follow,
                                 const PathContext& new_context, std::string_view new_path);
[[nodiscard]] Result<> link_inode(Inode& target, const PathContext& context, std::string_view path);
[[nodiscard]] Result<> unlink_path(const PathContext& context, std::string_view path);
[[nodiscard]] Result<> remove_directory_path(const PathContext& context, std::string_view path);
[[nodiscard]] Result<> rename_path(const PathContext& old_context, std::string_view old_path,
                                   const PathContext& new_context, std::string_view new_path,
                                   RenameMode mode);

/// chmod, chown, utimensat on an inode, with the permission checks.
[[nodiscard]] Result<> change_attributes(Inode& inode, const AttributeChange& change,
                                         const FileCredentials& credentials);

/// Before a file's contents change by the hand of somebody who is not privileged: what runs with its owner's
/// rights must be what the owner has put there.
[[nodiscard]] Result<> take_set_id_bits(Inode& inode, const FileCredentials& credentials);

/// Writes the absolute path of an inode below `root` and returns its length (no terminating zero). NoSuchFile
/// when no name leads there any more, OutOfRange when the span is too short.
[[nodiscard]] Result<std::size_t> path_of(Inode& inode, Inode& root, std::span<char> path);

}  // namespace faultline
