// File descriptors.

#include "kernel/fs/file_system.hpp"
#include "kernel/fs/pipe.hpp"
#include "kernel/syscall/system_calls.hpp"
#include "kernel/syscall/user_path.hpp"

namespace faultline::system_call {

namespace {
FileTable& files() { return *Process::current().files; }
std::uint64_t value_of(int descriptor) { return static_cast<std::uint64_t>(descriptor); }
}  // namespace

Result<> check_flags(const OpenFile& file, std::uint32_t flags) {
  const FileCredentials credentials = Process::current().credentials.effective();
  if ((flags & OpenFlags::kNoAccessTime) == 0 || (flags & OpenFlags::kPath) != 0 || credentials.privileged())
    return {};
  if (file.inode() == nullptr || file.inode()->stat().user == credentials.user) return {};
  return failure(KernelError::NotPermitted);
}

Value openat(int directory, Address path, std::uint32_t flags, std::uint32_t permissions) {
  const UserPath name = TRY(UserPath::from(directory, path));
  const std::uint32_t masked = permissions & mode::kPermissions & ~Process::current().file_system->umask();
  Ref<OpenFile> file = TRY(open_path(name.context(), name.view(), {flags}, masked));
  TRY(check_flags(*file, flags));
  return value_of(TRY(files().install(std::move(file), (flags & OpenFlags::kCloseOnExec) != 0)));
}

Value close(int descriptor) {
  TRY(files().close(descriptor));
  return 0;
}

Value close_range(std::uint32_t first, std::uint32_t last, std::uint32_t flags) {
  constexpr std::uint32_t kUnshare = 2, kCloseOnExec = 4;
  if ((flags & ~(kUnshare | kCloseOnExec)) != 0 || first > last) return failure(KernelError::InvalidArgument);
  Process& process = Process::current();
  if ((flags & kUnshare) != 0 && process.files->references() > 1) {
    Ref<FileTable> own = TRY(process.files->clone());
    SpinGuard guard(process_lock);
    // The table belongs to the process here, not to a thread; other threads may be using it at this moment.
    if (process.threads_alive > 1) return failure(KernelError::InvalidArgument);
    std::swap(process.files, own);
    guard.release();
  }
  files().close_range(first, last, (flags & kCloseOnExec) != 0);
  return 0;
}

Value dup(int descriptor) { return value_of(TRY(files().install(TRY(open_file(descriptor)), false))); }

Value dup3(int from, int to, std::uint32_t flags) {
  if ((flags & ~OpenFlags::kCloseOnExec) != 0 || from == to) return failure(KernelError::InvalidArgument);
  TRY(files().replace(to, TRY(open_file(from)), flags != 0));
  return value_of(to);
}

Value ioctl(int descriptor, std::uint32_t request, std::uint64_t argument) {
  enum : std::uint32_t {
    kSetNonBlocking = 0x5421,
    kClearCloseOnExec = 0x5450,
    kSetCloseOnExec = 0x5451,
    kInputQueued = 0x541b,
  };
  const Ref<OpenFile> file = TRY(accessible_file(descriptor));
  switch (request) {
    case kSetCloseOnExec:
    case kClearCloseOnExec:
      TRY(files().set_close_on_exec(descriptor, request == kSetCloseOnExec));
      return 0;
    case kSetNonBlocking: {
      const bool on = TRY(UserPointer<std::int32_t>(argument).read()) != 0;
      const std::uint32_t flags = file->flags().bits & ~OpenFlags::kNonBlocking;
      file->set_status_flags({on ? flags | OpenFlags::kNonBlocking : flags});
      return 0;
    }
    case kInputQueued: {
      const std::uint64_t count = TRY(file->control(request, argument));
      // A terminal has stored the number itself, as it does with all its answers.
      if (file->seekable() || file->inode() == nullptr || file->inode()->kind() == FileKind::Fifo) {
        TRY(UserPointer<std::int32_t>(argument).write(static_cast<std::int32_t>(count)));
      }
      return 0;
    }
    default:
      return file->control(request, argument);
  }
}

Value pipe2(UserPointer<int> descriptors, std::uint32_t flags) {
  constexpr std::uint32_t kStatus = OpenFlags::kNonBlocking | OpenFlags::kDirect;
  if ((flags & ~(OpenFlags::kCloseOnExec | kStatus)) != 0) return failure(KernelError::InvalidArgument);
  PipeEnds ends = TRY(make_pipe({flags & kStatus}));
  const bool close_on_exec = (flags & OpenFlags::kCloseOnExec) != 0;
  const int reader = TRY(files().install(std::move(ends.reader), close_on_exec));
  const Result<int> writer = files().install(std::move(ends.writer), close_on_exec);
  Result<> stored;
  if (writer) {
    const std::array<int, 2> pair = {reader, *writer};
    stored = copy_to_user(descriptors.address(), std::as_bytes(std::span(pair)));
  } else {
    stored = failure(writer.error());
  }
  if (stored) return 0;
  (void)files().close(reader);
  if (writer) (void)files().close(*writer);
  return failure(stored.error());
}

Value lseek(int descriptor, std::int64_t offset, std::uint32_t whence) {
  const Ref<OpenFile> file = TRY(accessible_file(descriptor));
  constexpr SeekFrom kFrom[] = {SeekFrom::Start, SeekFrom::Current, SeekFrom::End};
  if (whence >= std::size(kFrom)) return failure(KernelError::InvalidArgument);
  return file->seek(offset, kFrom[whence]);
}

Value ftruncate(int descriptor, std::int64_t size) {
  if (size < 0) return failure(KernelError::InvalidArgument);
  const Ref<OpenFile> file = TRY(accessible_file(descriptor));
  if (!file->flags().writable()) return failure(KernelError::InvalidArgument);
  if (file->inode() != nullptr) {
    if (file->inode()->is_regular()) TRY(check_new_size(*file->inode(), size));
    TRY(take_set_id_bits(*file->inode(), Process::current().credentials.effective()));
  }
  TRY(file->truncate(static_cast<std::uint64_t>(size)));
  return 0;
}

// No file system here sets blocks aside; the C library's posix_fallocate then writes to each of them.
Value fallocate(int descriptor, std::uint32_t, std::int64_t offset, std::int64_t size) {
  const Ref<OpenFile> file = TRY(accessible_file(descriptor));
  if (offset < 0 || size <= 0) return failure(KernelError::InvalidArgument);
  if (!file->flags().writable()) return failure(KernelError::BadFileDescriptor);
  if (file->inode() != nullptr && file->inode()->kind() == FileKind::Fifo)
    return failure(KernelError::IllegalSeek);
  if (file->inode() != nullptr && file->inode()->is_directory()) return failure(KernelError::IsDirectory);
  return failure(KernelError::NotSupported);
}

Value fsync(int descriptor) {
  TRY(TRY(accessible_file(descriptor))->synchronize());
  return 0;
}

// Cannot fail; what could not be written the file system has reported.
Value sync() {
  (void)sync_all();
  return 0;
}

Value fadvise64(int descriptor, std::int64_t, std::int64_t size, int advice) {
  constexpr int kLastAdvice = 5;
  const Ref<OpenFile> file = TRY(accessible_file(descriptor));
  if (!file->seekable()) return failure(KernelError::IllegalSeek);
  if (size < 0 || advice < 0 || advice > kLastAdvice) return failure(KernelError::InvalidArgument);
  return 0;
}

}  // namespace faultline::system_call
