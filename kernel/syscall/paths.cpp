// Names: directories, links, the working directory.

#include "kernel/fs/file_lease.hpp"
#include "kernel/fs/file_use.hpp"
#include "kernel/syscall/system_calls.hpp"
#include "kernel/syscall/user_path.hpp"

namespace faultline::system_call {

namespace {

FileSystemContext& file_system() { return *Process::current().file_system; }

std::uint32_t masked(std::uint32_t permissions) {
  return permissions & mode::kPermissions & ~file_system().umask();
}

struct PathBuffer {
  char characters[kMaxPathLength];
};

}  // namespace

Value mkdirat(int directory, Address path, std::uint32_t permissions) {
  const UserPath name = TRY(UserPath::from(directory, path));
  TRY(create_path(name.context(), name.view(),
                  {.kind = FileKind::Directory, .permissions = masked(permissions), .device = {}}));
  return 0;
}

Value mknodat(int directory, Address path, std::uint32_t file_mode, std::uint32_t device) {
  const std::uint32_t kind_bits = file_mode & mode::kKindMask;
  const std::optional<FileKind> kind = kind_bits == 0 ? FileKind::Regular : mode::kind_of(kind_bits);
  if (!kind || *kind == FileKind::SymbolicLink) return failure(KernelError::InvalidArgument);
  if (*kind == FileKind::Directory) return failure(KernelError::NotPermitted);
  const bool special = *kind == FileKind::CharacterDevice || *kind == FileKind::BlockDevice;
  if (special && !Process::current().credentials.privileged()) return failure(KernelError::NotPermitted);
  const UserPath name = TRY(UserPath::from(directory, path));
  TRY(create_path(name.context(), name.view(),
                  {.kind = *kind, .permissions = masked(file_mode), .device = DeviceNumber::decode(device)}));
  return 0;
}

Value unlinkat(int directory, Address path, std::uint32_t flags) {
  if ((flags & ~kRemoveDirectory) != 0) return failure(KernelError::InvalidArgument);
  const UserPath name = TRY(UserPath::from(directory, path));
  if (flags != 0) {
    TRY(remove_directory_path(name.context(), name.view()));
  } else {
    TRY(unlink_path(name.context(), name.view()));
  }
  return 0;
}

Value symlinkat(Address target, int directory, Address path) {
  const UserString to = TRY(UserString::path(target));
  if (to.view().empty()) return failure(KernelError::NoSuchFile);
  const UserPath name = TRY(UserPath::from(directory, path));
  TRY(make_symbolic_link_path(name.context(), name.view(), to.view()));
  return 0;
}

Value linkat(int old_directory, Address old_path, int new_directory, Address new_path, std::uint32_t flags) {
  if ((flags & ~(kFollow | kEmptyPath)) != 0) return failure(KernelError::InvalidArgument);
  const UserPath old_name = TRY(UserPath::from(old_directory, old_path));
  const UserPath new_name = TRY(UserPath::from(new_directory, new_path));
  if (old_name.view().empty() && (flags & kEmptyPath) != 0) {
    TRY(link_inode(*TRY(old_name.inode(FollowLast::No, flags)), new_name.context(), new_name.view()));
  } else {
    TRY(link_path(old_name.context(), old_name.view(),
                  (flags & kFollow) != 0 ? FollowLast::Yes : FollowLast::No, new_name.context(),
                  new_name.view()));
  }
  return 0;
}

Value renameat2(int old_directory, Address old_path, int new_directory, Address new_path,
                std::uint32_t flags) {
  constexpr std::uint32_t kNoReplace = 1;
  if ((flags & ~kNoReplace) != 0) return failure(KernelError::InvalidArgument);
  const UserPath old_name = TRY(UserPath::from(old_directory, old_path));
  const UserPath new_name = TRY(UserPath::from(new_directory, new_path));
  TRY(rename_path(old_name.context(), old_name.view(), new_name.context(), new_name.view(),
                  flags != 0 ? RenameMode::NoReplace : RenameMode::Replace));
  return 0;
}

Value readlinkat(int directory, Address path, Address buffer, std::int32_t size) {
  if (size <= 0) return failure(KernelError::InvalidArgument);
  const UserPath name = TRY(UserPath::from(directory, path));
  const Ref<Inode> link = TRY(name.inode(FollowLast::No, kEmptyPath));
  if (link->kind() != FileKind::SymbolicLink) {
    return failure(name.view().empty() ? KernelError::NoSuchFile : KernelError::InvalidArgument);
  }
  Box<PathBuffer> target = TRY(make_box<PathBuffer>());
  const std::span<char> room =
      std::span(target->characters).first(std::min<std::size_t>(kMaxPathLength, size));
  const std::size_t length = std::min(TRY(link->read_link(room)), room.size());
  TRY(copy_to_user(buffer, std::as_bytes(room.first(length))));
  return length;
}

namespace {

Result<> enter_directory(Ref<Inode> directory) {
  if (!directory->is_directory()) return failure(KernelError::NotDirectory);
  TRY(check_access(*directory, access_mode::kExecute, Process::current().credentials.effective()));
  file_system().set_working_directory(std::move(directory));
  return {};
}

}  // namespace

Value chdir(Address path) {
  const UserPath name = TRY(UserPath::from(kWorkingDirectory, path));
  TRY(enter_directory(TRY(name.inode(FollowLast::Yes))));
  return 0;
}

Value fchdir(int descriptor) {
  const Ref<OpenFile> file = TRY(open_file(descriptor));
  if (file->inode() == nullptr) return failure(KernelError::NotDirectory);
  TRY(enter_directory(Ref<Inode>::share(*file->inode())));
  return 0;
}

Value chroot(Address path) {
  const UserPath name = TRY(UserPath::from(kWorkingDirectory, path));
  Ref<Inode> directory = TRY(name.inode(FollowLast::Yes));
  if (!directory->is_directory()) return failure(KernelError::NotDirectory);
  if (!Process::current().credentials.privileged()) return failure(KernelError::NotPermitted);
  file_system().set_root(std::move(directory));
  return 0;
}

Value getcwd(Address buffer, std::uint64_t size) {
  const Ref<Inode> root = file_system().root();
  const Ref<Inode> directory = file_system().working_directory();
  Box<PathBuffer> path = TRY(make_box<PathBuffer>());
  const std::size_t length =
      TRY(path_of(*directory, *root, std::span(path->characters).first(kMaxPathLength - 1)));
  path->characters[length] = '\0';
  if (length + 1 > size) return failure(KernelError::OutOfRange);
  TRY(copy_to_user(buffer, std::as_bytes(std::span(path->characters).first(length + 1))));
  return length + 1;
}

Value umask(std::uint32_t mask) { return file_system().exchange_umask(mask); }

Value truncate(Address path, std::int64_t size) {
  if (size < 0) return failure(KernelError::InvalidArgument);
  const UserPath name = TRY(UserPath::from(kWorkingDirectory, path));
  const Ref<Inode> file = TRY(name.inode(FollowLast::Yes));
  if (file->is_directory()) return failure(KernelError::IsDirectory);
  if (!file->is_regular()) return failure(KernelError::InvalidArgument);
  const FileCredentials credentials = Process::current().credentials.effective();
  TRY(check_access(*file, access_mode::kWrite, credentials));
  const WriteAccess access = TRY(WriteAccess::to(*file));
  TRY(break_leases(*file, true, true));
  TRY(check_new_size(*file, size));
  TRY(take_set_id_bits(*file, credentials));
  TRY(file->truncate(static_cast<std::uint64_t>(size)));
  return 0;
}

}  // namespace faultline::system_call
