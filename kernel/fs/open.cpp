// Opening: what open(2) does with a path, and what kind of description an inode gives.

#include "kernel/fs/devfs.hpp"
#include "kernel/fs/file_lease.hpp"
#include "kernel/fs/open_file.hpp"
#include "kernel/fs/path_walk.hpp"
#include "kernel/fs/pipe.hpp"

namespace faultline {
namespace {

struct Found {
  Ref<Inode> inode;
  bool created;
};

// O_CREAT: the file a path names, made if there is none. A link whose target does not exist makes the target.
Result<Found> find_or_create(const PathContext& context, std::string_view path, OpenFlags flags,
                             std::uint32_t permissions) {
  PathWalk walk(context);
  PathWalk::Parent parent = TRY(walk.parent_of(path));
  for (;;) {
    if (parent.is_special() || parent.trailing_slash) return failure(KernelError::IsDirectory);
    Result<Ref<Inode>> existing = parent.directory->lookup(parent.name());
    if (existing) {
      Ref<Inode> inode = top_of_mounts(*std::move(existing));
      if (flags.has(OpenFlags::kExclusive)) return failure(KernelError::AlreadyExists);
      if (inode->kind() != FileKind::SymbolicLink || flags.has(OpenFlags::kNoFollow))
        return Found{inode, false};
      if (Ref<Inode> target = inode->link_target()) return Found{target, false};
      parent = TRY(walk.parent_of_target(parent.directory, *inode));
      continue;
    }
    if (existing.error() != KernelError::NoSuchFile) return failure(existing.error());
    TRY(check_access(*parent.directory, access_mode::kWrite | access_mode::kExecute, context.credentials));
    const NewFile file{.kind = FileKind::Regular,
                       .permissions = permissions,
                       .user = context.credentials.user,
                       .group = context.credentials.group,
                       .device = {}};
    Result<Ref<Inode>> made = parent.directory->create(parent.name(), file);
    if (made) return Found{*std::move(made), true};
    // Somebody else has made it since we looked; look again, unless it must be ours.
    if (made.error() != KernelError::AlreadyExists || flags.has(OpenFlags::kExclusive))
      return failure(made.error());
  }
}

Result<> check_open(const Inode& inode, OpenFlags flags, const FileCredentials& credentials) {
  const bool directory = inode.is_directory();
  if (flags.has(OpenFlags::kDirectory) && !directory) return failure(KernelError::NotDirectory);
  if (flags.has(OpenFlags::kPath)) return {};
  if (inode.kind() == FileKind::SymbolicLink) return failure(KernelError::TooManySymbolicLinks);
  if (directory && (flags.writable() || flags.has(OpenFlags::kCreate) || flags.has(OpenFlags::kTruncate)))
    return failure(KernelError::IsDirectory);
  std::uint32_t access = 0;
  if (flags.readable()) access |= access_mode::kRead;
  if (flags.writable() || flags.has(OpenFlags::kTruncate)) access |= access_mode::kWrite;
  return check_access(inode, access, credentials);
}

}  // namespace

Result<Ref<OpenFile>> open_path(const PathContext& context, std::string_view path, OpenFlags flags,
                                std::uint32_t permissions) {
  Found found;
  if (flags.has(OpenFlags::kCreate) && !flags.has(OpenFlags::kPath)) {
    found = TRY(find_or_create(context, path, flags, permissions));
  } else {
    const auto follow = flags.has(OpenFlags::kNoFollow) ? FollowLast::No : FollowLast::Yes;
    found = {TRY(resolve(context, path, follow)), false};
  }
  WriteAccess truncating;
  // A new file may be opened for writing even if its permissions forbid that to everyone.
  if (!found.created) {
    TRY(check_open(*found.inode, flags, context.credentials));
    if (flags.has(OpenFlags::kTruncate) && !flags.has(OpenFlags::kPath) && found.inode->is_regular()) {
      truncating = TRY(WriteAccess::to(*found.inode));
      TRY(break_leases(*found.inode, true, !flags.has(OpenFlags::kNonBlocking)));
      TRY(take_set_id_bits(*found.inode, context.credentials));
      TRY(found.inode->truncate(0));
    }
  }
  Ref<OpenFile> file = TRY(found.inode->open(flags));
  if (found.inode->is_regular() && !flags.has(OpenFlags::kPath))
    TRY(break_leases(*found.inode, flags.writable(), !flags.has(OpenFlags::kNonBlocking)));
  return file;
}

Result<Ref<OpenFile>> Inode::open(const OpenFlags& flags) {
  Ref<Inode> self = Ref<Inode>::share(*this);
  if (flags.has(OpenFlags::kPath)) return make_ref<OpenFile>(std::move(self), flags);
  switch (kind()) {
    case FileKind::Regular:
      if (flags.writable()) return make_ref<OpenFile>(std::move(self), flags, TRY(WriteAccess::to(*this)));
      [[fallthrough]];
    case FileKind::Directory:
      return make_ref<OpenFile>(std::move(self), flags);
    case FileKind::CharacterDevice:
      return open_character_device(std::move(self), flags);
    case FileKind::Fifo:
      return open_named_pipe(std::move(self), flags);
    case FileKind::SymbolicLink:
      return failure(KernelError::TooManySymbolicLinks);
    case FileKind::BlockDevice:
    case FileKind::Socket:
      return failure(KernelError::NoSuchAddress);
  }
  return failure(KernelError::InvalidArgument);
}

}  // namespace faultline
