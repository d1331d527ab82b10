// fcntl: what can be said about a descriptor and the open file behind it.

#include "kernel/fs/pipe.hpp"
#include "kernel/syscall/system_calls.hpp"
#include "kernel/syscall/user_path.hpp"

namespace faultline::system_call {

namespace {

FileTable& files() { return *Process::current().files; }

Value duplicate(const Ref<OpenFile>& file, std::uint64_t lowest, bool close_on_exec) {
  return static_cast<std::uint64_t>(TRY(files().install(file, close_on_exec, static_cast<int>(lowest))));
}

// Packets are what O_DIRECT makes of a pipe; a regular file takes it, since its pages are its cache anyway.
Value set_status_flags(OpenFile& file, std::uint32_t flags) {
  TRY(check_accessible(file));
  if (!file.flags().has(OpenFlags::kNoAccessTime)) TRY(check_flags(file, flags));
  const Inode* const inode = file.inode();
  const bool direct = inode != nullptr && (inode->kind() == FileKind::Fifo || inode->is_regular());
  if ((flags & OpenFlags::kDirect) != 0 && !direct) return failure(KernelError::InvalidArgument);
  file.set_status_flags({flags});
  return 0;
}

// Who is not privileged may have no pipe grow beyond the system's limit.
Value set_pipe_capacity(OpenFile& file, std::uint64_t wanted) {
  TRY(check_accessible(file));
  const std::size_t before = TRY(file.pipe_capacity());
  const std::size_t bytes = TRY(round_pipe_capacity(static_cast<std::uint32_t>(wanted)));
  if (bytes > before && bytes > pipe_capacity_limit() && !Process::current().credentials.privileged())
    return failure(KernelError::NotPermitted);
  TRY(file.set_pipe_capacity(bytes));
  return bytes;
}

}  // namespace

Value fcntl(int descriptor, std::uint32_t command, std::uint64_t argument) {
  enum : std::uint32_t {
    kDuplicate = 0,
    kGetDescriptorFlags = 1,
    kSetDescriptorFlags = 2,
    kGetStatusFlags = 3,
    kSetStatusFlags = 4,
    kGetLock = 5,
    kSetLock = 6,
    kSetLockWait = 7,
    kGetOpenFileLock = 36,
    kSetOpenFileLock = 37,
    kSetOpenFileLockWait = 38,
    kDuplicateCloseOnExec = 1030,
    kSetPipeCapacity = 1031,
    kGetPipeCapacity = 1032,
  };
  constexpr std::uint64_t kCloseOnExec = 1;
  const Ref<OpenFile> file = TRY(open_file(descriptor));
  const auto owner = command >= kGetOpenFileLock ? RecordLockOwner::OpenFile : RecordLockOwner::Process;
  switch (command) {
    case kDuplicate:
    case kDuplicateCloseOnExec:
      return duplicate(file, argument, command == kDuplicateCloseOnExec);
    case kGetDescriptorFlags:
      return TRY(files().close_on_exec(descriptor)) ? kCloseOnExec : 0;
    case kSetDescriptorFlags:
      TRY(files().set_close_on_exec(descriptor, (argument & kCloseOnExec) != 0));
      return 0;
    case kGetStatusFlags:
      return file->flags().bits & OpenFlags::kStatus;
    case kSetStatusFlags:
      return set_status_flags(*file, static_cast<std::uint32_t>(argument));
    case kGetLock:
    case kGetOpenFileLock:
      TRY(check_accessible(*file));
      return get_record_lock(*file, argument, owner);
    case kSetLock:
    case kSetOpenFileLock:
    case kSetLockWait:
    case kSetOpenFileLockWait:
      TRY(check_accessible(*file));
      return set_record_lock(descriptor, file, argument, owner,
                             command == kSetLockWait || command == kSetOpenFileLockWait);
    case kSetPipeCapacity:
      return set_pipe_capacity(*file, argument);
    case kGetPipeCapacity:
      TRY(check_accessible(*file));
      return TRY(file->pipe_capacity());
    default:
      return failure(KernelError::InvalidArgument);
  }
}

}  // namespace faultline::system_call
