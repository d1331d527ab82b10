// Reading and writing.

#include <cstring>

#include "kernel/proc/signal.hpp"
#include "kernel/proc/user_thread.hpp"
#include "kernel/sched/scheduler.hpp"
#include "kernel/syscall/system_calls.hpp"
#include "kernel/syscall/user_path.hpp"

namespace faultline::system_call {

namespace {

// Linux refuses buffers outside the user half before it looks at the file's state; inside, pages decide as
// they are touched.
bool in_user_half(Address start, std::uint64_t size) { return start <= kUserEnd && size <= kUserEnd - start; }

std::uint64_t file_size_limit() { return Process::current().limits.soft(Resource::FileSize); }

void send_to_caller(Signal signal) {
  SpinGuard guard(process_lock);
  (void)signals::send(UserThread::current(), signals::from_current_process(signal), guard);
}

// A write that nobody can read any more, or past the limit of a file's size, kills the writer unless it has
// arranged for something else.
Value after_write(Result<std::size_t> written) {
  if (written) return *written;
  if (written.error() == KernelError::BrokenPipe) send_to_caller(Signal::Pipe);
  if (written.error() == KernelError::FileTooLarge && file_size_limit() != ResourceLimit::kUnlimited)
    send_to_caller(Signal::FileSizeLimit);
  return written;
}

Result<> before_write(const OpenFile& file) {
  const ProcessCredentials& credentials = Process::current().credentials;
  if (credentials.privileged() || file.inode() == nullptr || !file.flags().writable()) return {};
  return take_set_id_bits(*file.inode(), credentials.effective());
}

/// The vectors of readv and writev, copied in and checked.
class UserVectors {
 public:
  /// Errors: InvalidArgument for too many or too much, BadAddress, OutOfMemory.
  static Result<UserVectors> from(Address address, std::uint64_t count) {
    constexpr std::uint64_t kMaxVectors = 1024;
    if (count > kMaxVectors) return failure(KernelError::InvalidArgument);
    UserVectors vectors;
    std::span<IoVector> list(vectors.few_, std::min<std::size_t>(count, std::size(vectors.few_)));
    if (count > std::size(vectors.few_)) {
      TRY(vectors.many_.resize(count));
      list = {vectors.many_.data(), count};
    }
    TRY(copy_from_user(std::as_writable_bytes(list), address));
    vectors.count_ = count;
    for (IoVector& vector : list) {
      if (static_cast<std::int64_t>(vector.length) < 0) return failure(KernelError::InvalidArgument);
      vector.length = std::min(vector.length, UserIoBuffer::kMaxBytes - vectors.total_);
      if (!in_user_half(vector.base, vector.length)) return failure(KernelError::BadAddress);
      vectors.total_ += vector.length;
    }
    return vectors;
  }
  std::span<const IoVector> list() const { return {many_.empty() ? few_ : many_.data(), count_}; }
  std::uint64_t total() const { return total_; }

 private:
  IoVector few_[8];
  Vector<IoVector> many_;
  std::size_t count_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace

Result<> check_new_size(const Inode& inode, std::int64_t size) {
  const auto wanted = static_cast<std::uint64_t>(size);
  if (wanted <= file_size_limit() || wanted <= inode.stat().size) return {};
  send_to_caller(Signal::FileSizeLimit);
  return failure(KernelError::FileTooLarge);
}

Value read(int descriptor, Address buffer, std::uint64_t count) {
  const Ref<OpenFile> file = TRY(open_file(descriptor));
  if (!in_user_half(buffer, count)) return failure(KernelError::BadAddress);
  UserIoBuffer io(buffer, count);
  return file->read(io);
}

Value write(int descriptor, Address buffer, std::uint64_t count) {
  const Ref<OpenFile> file = TRY(open_file(descriptor));
  if (!in_user_half(buffer, count)) return failure(KernelError::BadAddress);
  UserIoBuffer io(buffer, count);
  TRY(before_write(*file));
  io.set_file_size_limit(file_size_limit());
  return after_write(file->write(io));
}

Value readv(int descriptor, Address address, std::uint64_t count) {
  const Ref<OpenFile> file = TRY(open_file(descriptor));
  const UserVectors vectors = TRY(UserVectors::from(address, count));
  UserIoBuffer io(vectors.list(), vectors.total());
  return file->read(io);
}

Value writev(int descriptor, Address address, std::uint64_t count) {
  const Ref<OpenFile> file = TRY(open_file(descriptor));
  const UserVectors vectors = TRY(UserVectors::from(address, count));
  UserIoBuffer io(vectors.list(), vectors.total());
  TRY(before_write(*file));
  io.set_file_size_limit(file_size_limit());
  return after_write(file->write(io));
}

Value pread64(int descriptor, Address buffer, std::uint64_t count, std::int64_t offset) {
  if (offset < 0) return failure(KernelError::InvalidArgument);
  const Ref<OpenFile> file = TRY(open_file(descriptor));
  if (!in_user_half(buffer, count)) return failure(KernelError::BadAddress);
  UserIoBuffer io(buffer, count);
  return file->read_at(static_cast<std::uint64_t>(offset), io);
}

Value pwrite64(int descriptor, Address buffer, std::uint64_t count, std::int64_t offset) {
  if (offset < 0) return failure(KernelError::InvalidArgument);
  const Ref<OpenFile> file = TRY(open_file(descriptor));
  if (!in_user_half(buffer, count)) return failure(KernelError::BadAddress);
  UserIoBuffer io(buffer, count);
  TRY(before_write(*file));
  io.set_file_size_limit(file_size_limit());
  return after_write(file->write_at(static_cast<std::uint64_t>(offset), io));
}

Value preadv(int descriptor, Address address, std::uint64_t count, std::int64_t offset) {
  if (offset < 0) return failure(KernelError::InvalidArgument);
  const Ref<OpenFile> file = TRY(open_file(descriptor));
  const UserVectors vectors = TRY(UserVectors::from(address, count));
  UserIoBuffer io(vectors.list(), vectors.total());
  return file->read_at(static_cast<std::uint64_t>(offset), io);
}

Value pwritev(int descriptor, Address address, std::uint64_t count, std::int64_t offset) {
  if (offset < 0) return failure(KernelError::InvalidArgument);
  const Ref<OpenFile> file = TRY(open_file(descriptor));
  const UserVectors vectors = TRY(UserVectors::from(address, count));
  UserIoBuffer io(vectors.list(), vectors.total());
  TRY(before_write(*file));
  io.set_file_size_limit(file_size_limit());
  return after_write(file->write_at(static_cast<std::uint64_t>(offset), io));
}

namespace {

struct CopyStep {
  std::byte bytes[2048];
};

// Copies until `count` bytes have moved, the input ends or the output takes no more. `offset` is where the
// input is read; null: at its own offset.
Value copy_between(OpenFile& in, OpenFile& out, std::uint64_t* offset, std::uint64_t count) {
  Box<CopyStep> step = TRY(make_box<CopyStep>());
  std::uint64_t moved = 0;
  while (moved < count) {
    const std::size_t wanted = std::min<std::uint64_t>(count - moved, sizeof(step->bytes));
    KernelIoBuffer input(std::span<std::byte>(step->bytes, wanted));
    const Result<std::size_t> got = offset != nullptr ? in.read_at(*offset, input) : in.read(input);
    if (!got) return moved > 0 ? Value(moved) : failure(got.error());
    if (*got == 0) break;
    KernelIoBuffer output(std::span<const std::byte>(step->bytes, *got));
    output.set_file_size_limit(file_size_limit());
    const Result<std::size_t> put = out.write(output);
    const std::size_t written = put ? *put : 0;
    if (offset != nullptr) {
      *offset += written;
    } else if (written < *got) {
      // What was read but not written goes back to the input.
      (void)in.seek(static_cast<std::int64_t>(written) - static_cast<std::int64_t>(*got), SeekFrom::Current);
    }
    moved += written;
    if (!put) return moved > 0 ? Value(moved) : after_write(put);
    if (written < *got || Thread::current().signal_pending) break;
    scheduler::preemption_point();
  }
  return moved;
}

}  // namespace

Value sendfile(int out_descriptor, int in_descriptor, UserPointer<std::int64_t> offset, std::uint64_t count) {
  const Ref<OpenFile> in = TRY(open_file(in_descriptor));
  const Ref<OpenFile> out = TRY(open_file(out_descriptor));
  if (!in->seekable()) return failure(KernelError::InvalidArgument);
  TRY(before_write(*out));
  if (!in->flags().readable() || !out->flags().writable()) return failure(KernelError::BadFileDescriptor);
  if (out->flags().has(OpenFlags::kAppend)) return failure(KernelError::InvalidArgument);
  count = std::min(count, UserIoBuffer::kMaxBytes);
  if (offset.null()) return copy_between(*in, *out, nullptr, count);
  const std::int64_t start = TRY(offset.read());
  if (start < 0) return failure(KernelError::InvalidArgument);
  std::uint64_t position = static_cast<std::uint64_t>(start);
  const std::uint64_t moved = TRY(copy_between(*in, *out, &position, count));
  TRY(offset.write(static_cast<std::int64_t>(position)));
  return moved;
}

namespace {

// Linux's struct linux_dirent64: this header, the name, a zero, and padding to a multiple of 8.
struct DirectoryRecord {
  std::uint64_t inode;
  std::int64_t next;
  std::uint16_t length;
  std::uint8_t kind;
};
constexpr std::size_t kRecordHeaderBytes = 19;
constexpr std::size_t kMaxRecordBytes = (kRecordHeaderBytes + kMaxNameLength + 1 + 7) & ~std::size_t{7};

std::uint8_t record_kind(FileKind kind) {
  // DT_REG and the others are the kind bits of the mode.
  return static_cast<std::uint8_t>(mode::bits_of(kind) >> 12);
}

/// Writes directory entries to user memory until it is full.
class RecordWriter final : public DirectoryVisitor {
 public:
  RecordWriter(Address place, std::size_t room) : place_(place), room_(room) {}

  bool visit(const DirectoryEntry& entry) override {
    const std::size_t length = (kRecordHeaderBytes + entry.name.size() + 1 + 7) & ~std::size_t{7};
    if (length > room_ - written_) {
      full_ = true;
      return false;
    }
    std::array<std::byte, kMaxRecordBytes> bytes = {};
    const DirectoryRecord record{.inode = entry.inode,
                                 .next = static_cast<std::int64_t>(entry.next),
                                 .length = static_cast<std::uint16_t>(length),
                                 .kind = record_kind(entry.kind)};
    std::memcpy(bytes.data(), &record, kRecordHeaderBytes);
    std::memcpy(bytes.data() + kRecordHeaderBytes, entry.name.data(), entry.name.size());
    // The directory is locked.
    result_ = copy_to_user_unrelieved(place_ + written_, std::span(bytes).first(length));
    if (result_) written_ += length;
    return result_.has_value();
  }

  Value outcome() const {
    if (written_ > 0) return written_;
    if (!result_) return failure(result_.error());
    return full_ ? Value(failure(KernelError::InvalidArgument)) : Value(0);
  }

 private:
  Address place_;
  std::size_t room_;
  std::size_t written_ = 0;
  bool full_ = false;
  Result<> result_;
};

}  // namespace

Value getdents64(int descriptor, Address buffer, std::uint32_t size) {
  const Ref<OpenFile> file = TRY(open_file(descriptor));
  if (!in_user_half(buffer, size)) return failure(KernelError::BadAddress);
  RecordWriter writer(buffer, size);
  TRY(file->iterate(writer));
  return writer.outcome();
}

}  // namespace faultline::system_call
