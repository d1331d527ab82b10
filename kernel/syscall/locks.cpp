// flock and fcntl's record locks, which are advisory: nothing but other locks is kept out by them.

#include "kernel/fs/file_lock.hpp"
#include "kernel/syscall/system_calls.hpp"
#include "kernel/syscall/user_path.hpp"

namespace faultline::system_call {

namespace {

// struct flock (asm-generic/fcntl.h).
struct UserLock {
  std::int16_t type;
  std::int16_t whence;
  std::int64_t start;
  std::int64_t length;  // 0: to the end of the file
  std::int32_t process;
};
enum LockType : std::int16_t { kRead = 0, kWrite = 1, kUnlock = 2 };

Result<FileLocks*> locks_of(OpenFile& file) {
  if (file.inode() == nullptr) return failure(KernelError::BadFileDescriptor);
  return file.inode()->locks_for_use();
}

Result<std::int64_t> base_of(OpenFile& file, std::int16_t whence) {
  constexpr SeekFrom kFrom[] = {SeekFrom::Start, SeekFrom::Current, SeekFrom::End};
  if (whence < 0 || static_cast<std::size_t>(whence) >= std::size(kFrom))
    return failure(KernelError::InvalidArgument);
  switch (kFrom[whence]) {
    case SeekFrom::Start:
      return 0;
    case SeekFrom::Current:
      return file.seekable() ? static_cast<std::int64_t>(TRY(file.seek(0, SeekFrom::Current))) : 0;
    case SeekFrom::End:
      return static_cast<std::int64_t>(TRY(file.stat()).size);
  }
  return failure(KernelError::InvalidArgument);
}

// A negative length names the bytes before the start.
Result<FileLock> to_lock(OpenFile& file, const UserLock& user, RecordLockOwner owner) {
  std::int64_t start = 0, last = 0;
  if (__builtin_add_overflow(TRY(base_of(file, user.whence)), user.start, &start))
    return failure(KernelError::Overflow);
  if (start < 0) return failure(KernelError::InvalidArgument);
  FileLock lock{.exclusive = user.type == kWrite};
  if (owner == RecordLockOwner::Process) {
    lock.owner = Process::current().files.get();
    lock.process = Process::current().id;
  } else {
    if (user.process != 0) return failure(KernelError::InvalidArgument);
    lock.owner = &file;
    lock.process = FileLock::kNoProcess;
  }
  if (user.length > 0) {
    if (__builtin_add_overflow(start, user.length - 1, &last)) return failure(KernelError::Overflow);
    lock.end = static_cast<std::uint64_t>(last) + 1;
  } else if (user.length < 0) {
    lock.end = static_cast<std::uint64_t>(start);
    if (__builtin_add_overflow(start, user.length, &start) || start < 0)
      return failure(KernelError::InvalidArgument);
  }
  lock.start = static_cast<std::uint64_t>(start);
  return lock;
}

}  // namespace

Value flock(int descriptor, std::uint32_t operation) {
  enum : std::uint32_t { kShared = 1, kExclusive = 2, kNonBlocking = 4, kRelease = 8 };
  const Ref<OpenFile> file = TRY(accessible_file(descriptor));
  const FileLock lock{.owner = file.get(),
                      .process = Process::current().id,
                      .exclusive = (operation & ~kNonBlocking) == kExclusive};
  const auto wait = (operation & kNonBlocking) != 0 ? FileLocks::Wait::No : FileLocks::Wait::Yes;
  switch (operation & ~kNonBlocking) {
    case kShared:
    case kExclusive:
      TRY(TRY(locks_of(*file))->take(FileLocks::Kind::WholeFile, lock, wait));
      return 0;
    case kRelease:
      TRY(locks_of(*file))->release_all(FileLocks::Kind::WholeFile, lock.owner);
      return 0;
    default:
      return failure(KernelError::InvalidArgument);
  }
}

Value get_record_lock(OpenFile& file, Address argument, RecordLockOwner owner) {
  const UserPointer<UserLock> place(argument);
  UserLock user = TRY(place.read());
  if (user.type != kRead && user.type != kWrite) return failure(KernelError::InvalidArgument);
  const FileLock wanted = TRY(to_lock(file, user, owner));
  const auto found = TRY(locks_of(file))->find_conflict(FileLocks::Kind::Range, wanted);
  if (found) {
    user = {.type = found->exclusive ? kWrite : kRead,
            .whence = 0,
            .start = static_cast<std::int64_t>(found->start),
            .length =
                found->end == FileLock::kToTheEnd ? 0 : static_cast<std::int64_t>(found->end - found->start),
            .process = found->process};
  } else {
    user.type = kUnlock;
  }
  TRY(place.write(user));
  return 0;
}

Value set_record_lock(int descriptor, const Ref<OpenFile>& file, Address argument, RecordLockOwner owner,
                      bool wait) {
  const UserLock user = TRY(UserPointer<UserLock>(argument).read());
  const FileLock lock = TRY(to_lock(*file, user, owner));
  FileLocks& locks = *TRY(locks_of(*file));
  switch (user.type) {
    case kUnlock:
      TRY(locks.release(FileLocks::Kind::Range, lock));
      return 0;
    case kRead:
      if (!file->flags().readable()) return failure(KernelError::BadFileDescriptor);
      break;
    case kWrite:
      if (!file->flags().writable()) return failure(KernelError::BadFileDescriptor);
      break;
    default:
      return failure(KernelError::InvalidArgument);
  }
  TRY(locks.take(FileLocks::Kind::Range, lock, wait ? FileLocks::Wait::Yes : FileLocks::Wait::No));
  if (owner == RecordLockOwner::OpenFile) return 0;
  // Another thread may have closed the descriptor meanwhile, and given up all there was to be given up then.
  const Result<Ref<OpenFile>> now = open_file(descriptor);
  if (now && now->get() == file.get()) return 0;
  locks.release_all(FileLocks::Kind::Range, lock.owner);
  return failure(KernelError::BadFileDescriptor);
}

}  // namespace faultline::system_call
