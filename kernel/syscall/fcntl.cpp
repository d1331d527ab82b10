// fcntl: what can be said about a descriptor and the open file behind it.

#include "kernel/fs/file_lease.hpp"
#include "kernel/fs/pipe.hpp"
#include "kernel/proc/file_owner.hpp"
#include "kernel/syscall/system_calls.hpp"
#include "kernel/syscall/user_path.hpp"

namespace faultline::system_call {

namespace {

FileTable& files() { return *Process::current().files; }

Value duplicate(const Ref<OpenFile>& file, std::uint64_t lowest, bool close_on_exec) {
  return static_cast<std::uint64_t>(TRY(files().install(file, close_on_exec, static_cast<int>(lowest))));
}

// Packets are what O_DIRECT makes of a pipe; a regular file takes it, since its pages are its cache anyway.
Value set_status_flags(int descriptor, OpenFile& file, std::uint32_t flags) {
  TRY(check_accessible(file));
  if (!file.flags().has(OpenFlags::kNoAccessTime)) TRY(check_flags(file, flags));
  const Inode* const inode = file.inode();
  const bool direct = inode != nullptr && (inode->kind() == FileKind::Fifo || inode->is_regular());
  if ((flags & OpenFlags::kDirect) != 0 && !direct) return failure(KernelError::InvalidArgument);
  file.set_status_flags({flags});
  const bool async = (flags & OpenFlags::kAsync) != 0;
  if (async != file.flags().has(OpenFlags::kAsync)) file.set_async(descriptor, async);
  return 0;
}

// --- Whom the file tells ---

// struct f_owner_ex (asm-generic/fcntl.h).
struct UserOwner {
  std::int32_t kind;
  std::int32_t id;
};

Value set_owner(OpenFile& file, FileOwnerName name) {
  if (name.id < 0) return failure(KernelError::NoSuchProcess);
  file.signals().set_owner(TRY(make_file_owner(name)));
  return 0;
}

// A group's number is negative here.
Value set_plain_owner(OpenFile& file, std::int32_t id) {
  if (id == INT32_MIN) return failure(KernelError::InvalidArgument);
  return id < 0 ? set_owner(file, {.kind = FileOwnerName::Kind::Group, .id = -id})
                : set_owner(file, {.kind = FileOwnerName::Kind::Process, .id = id});
}

FileOwnerName owner_of(OpenFile& file) {
  const Ref<FileOwner> owner = file.signals().owner();
  return owner ? owner->name() : FileOwnerName();
}

Value plain_owner_of(OpenFile& file) {
  const FileOwnerName name = owner_of(file);
  return static_cast<std::uint64_t>(
      std::int64_t{name.kind == FileOwnerName::Kind::Group ? -name.id : name.id});
}

Value set_named_owner(OpenFile& file, UserPointer<UserOwner> place) {
  const UserOwner user = TRY(place.read());
  constexpr auto kLast = static_cast<std::int32_t>(FileOwnerName::Kind::Group);
  if (user.kind < 0 || user.kind > kLast) return failure(KernelError::InvalidArgument);
  return set_owner(file, {.kind = static_cast<FileOwnerName::Kind>(user.kind), .id = user.id});
}

Value get_named_owner(OpenFile& file, UserPointer<UserOwner> place) {
  const FileOwnerName name = owner_of(file);
  TRY(place.write({.kind = static_cast<std::int32_t>(name.kind), .id = name.id}));
  return 0;
}

Value set_signal(OpenFile& file, std::uint64_t number) {
  if (number > kSignalCount) return failure(KernelError::InvalidArgument);
  file.signals().set_signal(static_cast<std::uint8_t>(number));
  return 0;
}

// A lease is for the file's owner. Its breaking is told to whoever takes it, unless somebody else is named.
Value set_lease_of(int descriptor, OpenFile& file, std::uint32_t number) {
  if (number > static_cast<std::uint32_t>(Lease::None)) return failure(KernelError::InvalidArgument);
  const FileCredentials credentials = Process::current().credentials.effective();
  if (file.inode() == nullptr) return failure(KernelError::InvalidArgument);
  if (!credentials.privileged() && file.inode()->stat().user != credentials.user)
    return failure(KernelError::AccessDenied);
  if (!file.inode()->is_regular()) return failure(KernelError::InvalidArgument);
  Ref<FileOwner> holder = TRY(make_file_owner({.id = Process::current().id}));
  TRY(set_lease(file, descriptor, static_cast<Lease>(number), std::move(holder)));
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
    kSetOwner = 8,
    kGetOwner = 9,
    kSetSignal = 10,
    kGetSignal = 11,
    kSetNamedOwner = 15,
    kGetNamedOwner = 16,
    kGetOpenFileLock = 36,
    kSetOpenFileLock = 37,
    kSetOpenFileLockWait = 38,
    kSetLease = 1024,
    kGetLease = 1025,
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
      return set_status_flags(descriptor, *file, static_cast<std::uint32_t>(argument));
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
    case kSetOwner:
      TRY(check_accessible(*file));
      return set_plain_owner(*file, static_cast<std::int32_t>(argument));
    case kGetOwner:
      TRY(check_accessible(*file));
      return plain_owner_of(*file);
    case kSetNamedOwner:
      TRY(check_accessible(*file));
      return set_named_owner(*file, UserPointer<UserOwner>(argument));
    case kGetNamedOwner:
      TRY(check_accessible(*file));
      return get_named_owner(*file, UserPointer<UserOwner>(argument));
    case kSetSignal:
      TRY(check_accessible(*file));
      return set_signal(*file, argument);
    case kGetSignal:
      TRY(check_accessible(*file));
      return file->signals().signal();
    case kSetLease:
      TRY(check_accessible(*file));
      return set_lease_of(descriptor, *file, static_cast<std::uint32_t>(argument));
    case kGetLease:
      TRY(check_accessible(*file));
      return static_cast<std::uint64_t>(lease_of(*file));
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
