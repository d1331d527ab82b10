#include "kernel/syscall/user_path.hpp"

#include "kernel/syscall/system_calls.hpp"

namespace faultline::system_call {

Result<UserPath> UserPath::from(int directory, std::uint64_t address) {
  UserPath path(TRY(UserString::path(address)));
  const FileSystemContext& context = *Process::current().file_system;
  path.root_ = context.root();
  if (path.view().starts_with('/')) {
    path.start_ = path.root_;
  } else if (directory == kWorkingDirectory) {
    path.start_ = context.working_directory();
  } else {
    const Ref<OpenFile> file = TRY(open_file(directory));
    if (file->inode() == nullptr) return failure(KernelError::NotDirectory);
    path.start_ = Ref<Inode>::share(*file->inode());
    if (!path.view().empty() && !path.start_->is_directory()) return failure(KernelError::NotDirectory);
  }
  return path;
}

Result<Ref<Inode>> UserPath::inode(FollowLast follow, std::uint32_t flags) const {
  if (view().empty() && (flags & kEmptyPath) != 0) return start_;
  return resolve(context(), view(), follow);
}

}  // namespace faultline::system_call
