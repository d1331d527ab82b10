#include "kernel/fs/path.hpp"

#include <algorithm>
#include <cstring>

#include "kernel/fs/file_system.hpp"
#include "kernel/fs/path_walk.hpp"

namespace faultline {
namespace {

bool belongs_to(const FileCredentials& credentials, std::uint32_t group) {
  return credentials.group == group ||
         std::ranges::find(credentials.groups, group) != credentials.groups.end();
}

// A change of the names in a directory; in one with the sticky bit only owners remove or rename.
Result<> check_removal(Inode& directory, Inode& victim, const FileCredentials& credentials) {
  TRY(check_access(directory, access_mode::kWrite | access_mode::kExecute, credentials));
  if (credentials.privileged()) return {};
  const Stat stat = directory.stat();
  if ((stat.mode & mode::kSticky) == 0 || stat.user == credentials.user) return {};
  if (victim.stat().user != credentials.user) return failure(KernelError::NotPermitted);
  return {};
}

Result<> check_addition(Inode& directory, const FileCredentials& credentials) {
  return check_access(directory, access_mode::kWrite | access_mode::kExecute, credentials);
}

NewFile owned_by(const FileCredentials& credentials, NewFile file) {
  file.user = credentials.user;
  file.group = credentials.group;
  return file;
}

}  // namespace

Result<> check_access(const Inode& inode, std::uint32_t access, const FileCredentials& credentials) {
  const FileKind kind = inode.kind();
  if ((access & access_mode::kWrite) != 0 && inode.file_system().read_only() &&
      (kind == FileKind::Regular || kind == FileKind::Directory || kind == FileKind::SymbolicLink))
    return failure(KernelError::ReadOnlyFileSystem);
  if (credentials.privileged() && (access & access_mode::kExecute) == 0) return {};
  if (credentials.privileged() && kind == FileKind::Directory) return {};
  const Stat stat = inode.stat();
  if (credentials.privileged()) {
    if ((stat.mode & 0111) == 0) return failure(KernelError::AccessDenied);
    return {};
  }
  std::uint32_t allowed = stat.mode & 7;
  if (stat.user == credentials.user) {
    allowed = stat.mode >> 6 & 7;
  } else if (belongs_to(credentials, stat.group)) {
    allowed = stat.mode >> 3 & 7;
  }
  if ((access & ~allowed) != 0) return failure(KernelError::AccessDenied);
  return {};
}

Result<Ref<Inode>> resolve(const PathContext& context, std::string_view path, FollowLast follow) {
  PathWalk walk(context);
  return walk.resolve(path, follow);
}

Result<Ref<Inode>> create_path(const PathContext& context, std::string_view path, NewFile file) {
  PathWalk walk(context);
  PathWalk::Parent parent = TRY(walk.parent_of(path));
  if (parent.is_special()) return failure(KernelError::AlreadyExists);
  if (parent.directory->lookup(parent.name())) return failure(KernelError::AlreadyExists);
  if (parent.trailing_slash && file.kind != FileKind::Directory) return failure(KernelError::NoSuchFile);
  TRY(check_addition(*parent.directory, context.credentials));
  return parent.directory->create(parent.name(), owned_by(context.credentials, file));
}

Result<> make_symbolic_link_path(const PathContext& context, std::string_view path, std::string_view target) {
  if (target.empty()) return failure(KernelError::NoSuchFile);
  PathWalk walk(context);
  PathWalk::Parent parent = TRY(walk.parent_of(path));
  if (parent.is_special() || parent.directory->lookup(parent.name()))
    return failure(KernelError::AlreadyExists);
  if (parent.trailing_slash) return failure(KernelError::NoSuchFile);
  TRY(check_addition(*parent.directory, context.credentials));
  TRY(parent.directory->make_symbolic_link(parent.name(), target, owned_by(context.credentials, {})));
  return {};
}

Result<> link_inode(Inode& target, const PathContext& context, std::string_view path) {
  PathWalk walk(context);
  PathWalk::Parent parent = TRY(walk.parent_of(path));
  if (parent.is_special() || parent.directory->lookup(parent.name()))
    return failure(KernelError::AlreadyExists);
  if (parent.trailing_slash) return failure(KernelError::NoSuchFile);
  if (&target.file_system() != &parent.directory->file_system()) return failure(KernelError::CrossDevice);
  TRY(check_addition(*parent.directory, context.credentials));
  return parent.directory->link(parent.name(), target);
}

Result<> link_path(const PathContext& old_context, std::string_view old_path, FollowLast follow,
                   const PathContext& new_context, std::string_view new_path) {
  const Ref<Inode> target = TRY(resolve(old_context, old_path, follow));
  return link_inode(*target, new_context, new_path);
}

Result<> unlink_path(const PathContext& context, std::string_view path) {
  PathWalk walk(context);
  PathWalk::Parent parent = TRY(walk.parent_of(path));
  if (parent.is_special()) return failure(KernelError::IsDirectory);
  {
    const Ref<Inode> victim = TRY(parent.directory->lookup(parent.name()));
    TRY(check_removal(*parent.directory, *victim, context.credentials));
    if (victim->is_directory()) return failure(KernelError::IsDirectory);
    if (parent.trailing_slash) return failure(KernelError::NotDirectory);
  }  // nobody but the name holds the file now: its space is free when unlink returns
  return parent.directory->unlink(parent.name());
}

Result<> remove_directory_path(const PathContext& context, std::string_view path) {
  PathWalk walk(context);
  PathWalk::Parent parent = TRY(walk.parent_of(path));
  if (parent.name().empty()) return failure(KernelError::Busy);  // the root
  if (parent.name() == ".") return failure(KernelError::InvalidArgument);
  if (parent.name() == "..") return failure(KernelError::DirectoryNotEmpty);
  {
    const Ref<Inode> victim = TRY(parent.directory->lookup(parent.name()));
    TRY(check_removal(*parent.directory, *victim, context.credentials));
  }
  return parent.directory->remove_directory(parent.name());
}

Result<> rename_path(const PathContext& old_context, std::string_view old_path,
                     const PathContext& new_context, std::string_view new_path, RenameMode mode) {
  PathWalk old_walk(old_context);
  PathWalk::Parent from = TRY(old_walk.parent_of(old_path));
  PathWalk new_walk(new_context);
  PathWalk::Parent to = TRY(new_walk.parent_of(new_path));
  if (from.is_special() || to.is_special()) return failure(KernelError::Busy);
  if (&from.directory->file_system() != &to.directory->file_system())
    return failure(KernelError::CrossDevice);
  {
    const Ref<Inode> moved = TRY(from.directory->lookup(from.name()));
    TRY(check_removal(*from.directory, *moved, old_context.credentials));
    if ((from.trailing_slash || to.trailing_slash) && !moved->is_directory())
      return failure(KernelError::NotDirectory);
    if (const Result<Ref<Inode>> replaced = to.directory->lookup(to.name())) {
      TRY(check_removal(*to.directory, **replaced, new_context.credentials));
    } else {
      TRY(check_addition(*to.directory, new_context.credentials));
    }
  }
  return from.directory->rename(from.name(), *to.directory, to.name(), mode);
}

namespace {

/// Those of the bits that let a program run with its file's owner's or group's rights. Without the group's
/// right to execute, set-group-ID means something else.
std::uint32_t set_id_bits(std::uint32_t permissions) {
  constexpr std::uint32_t kGroupExecute = 010;
  const std::uint32_t group = (permissions & kGroupExecute) != 0 ? mode::kSetGroup : 0;
  return permissions & (mode::kSetUser | group);
}

}  // namespace

Result<> change_attributes(Inode& inode, const AttributeChange& change, const FileCredentials& credentials) {
  if (inode.file_system().read_only()) return failure(KernelError::ReadOnlyFileSystem);
  AttributeChange checked = change;
  if (!credentials.privileged()) {
    const Stat stat = inode.stat();
    if (stat.user != credentials.user) return failure(KernelError::NotPermitted);
    if (change.user && *change.user != stat.user) return failure(KernelError::NotPermitted);
    if (change.group && !belongs_to(credentials, *change.group)) return failure(KernelError::NotPermitted);
    // Whoever gives a program to others must not give them rights with it.
    if (change.permissions && !belongs_to(credentials, stat.group)) *checked.permissions &= ~mode::kSetGroup;
  }
  // A new owner must not get the old one's rights, not even from root.
  if ((change.user || change.group) && !change.permissions && !inode.is_directory()) {
    const std::uint32_t permissions = inode.stat().mode & mode::kPermissions;
    checked.permissions = permissions & ~set_id_bits(permissions);
  }
  return inode.change_attributes(checked);
}

Result<> take_set_id_bits(Inode& inode, const FileCredentials& credentials) {
  if (credentials.privileged() || !inode.is_regular()) return {};
  const std::uint32_t permissions = inode.stat().mode & mode::kPermissions;
  if (set_id_bits(permissions) == 0) return {};
  AttributeChange change;
  change.permissions = permissions & ~set_id_bits(permissions);
  return inode.change_attributes(change);
}

}  // namespace faultline
