#include "kernel/fs/open_file.hpp"

#include "kernel/fs/file_lease.hpp"
#include "kernel/fs/file_lock.hpp"

namespace faultline {

OpenFile::OpenFile(Ref<Inode> inode, OpenFlags flags, WriteAccess writing)
    : inode_(std::move(inode)),
      writing_(std::move(writing)),
      flags_(flags.bits & OpenFlags::kStatus & ~OpenFlags::kAsync) {
  if (inode_) inode_->count_open();
}

OpenFile::~OpenFile() {
  release_lease(*this);
  if (inode_) inode_->uncount_open();
  FileLocks* const locks = inode_ ? inode_->locks() : nullptr;
  if (locks == nullptr) return;
  locks->release_all(FileLocks::Kind::WholeFile, this);
  locks->release_all(FileLocks::Kind::Range, this);
}

void OpenFile::set_status_flags(OpenFlags flags) {
  const std::uint32_t kept = flags_.load(std::memory_order_relaxed) & ~OpenFlags::kChangeable;
  flags_.store(kept | (flags.bits & OpenFlags::kChangeable), std::memory_order_relaxed);
}

void OpenFile::set_async(int descriptor, bool on) {
  AsyncFiles* const files = async_files();
  if (files == nullptr) return;
  if (on) {
    files->add(signals_, descriptor, flags().readable(), flags().writable());
    flags_.fetch_or(OpenFlags::kAsync, std::memory_order_relaxed);
  } else {
    signals_.stop();
    flags_.fetch_and(~OpenFlags::kAsync, std::memory_order_relaxed);
  }
}

bool OpenFile::seekable() const { return inode_ && (inode_->is_regular() || inode_->is_directory()); }

Result<std::size_t> OpenFile::read(IoBuffer& buffer) {
  if (!flags().readable()) return failure(KernelError::BadFileDescriptor);
  if (!seekable()) return do_read(0, buffer);
  MutexGuard guard(offset_lock_);
  const std::size_t count = TRY(do_read(offset_, buffer));
  offset_ += count;
  return count;
}

Result<std::size_t> OpenFile::write(IoBuffer& buffer) {
  const OpenFlags flags = this->flags();
  if (!flags.writable()) return failure(KernelError::BadFileDescriptor);
  std::uint64_t ignored = 0;
  if (!seekable()) return do_write(ignored, buffer, false);
  MutexGuard guard(offset_lock_);
  const std::size_t count = TRY(do_write(offset_, buffer, flags.has(OpenFlags::kAppend)));
  offset_ += count;
  guard.release();
  if (flags.has(OpenFlags::kDataSync)) TRY(synchronize());  // O_SYNC contains O_DSYNC's bit
  return count;
}

Result<std::size_t> OpenFile::read_at(std::uint64_t offset, IoBuffer& buffer) {
  if (!flags().readable()) return failure(KernelError::BadFileDescriptor);
  if (!seekable()) return failure(KernelError::IllegalSeek);
  return do_read(offset, buffer);
}

Result<std::size_t> OpenFile::write_at(std::uint64_t offset, IoBuffer& buffer) {
  const OpenFlags flags = this->flags();
  if (!flags.writable()) return failure(KernelError::BadFileDescriptor);
  if (!seekable()) return failure(KernelError::IllegalSeek);
  const std::size_t count = TRY(do_write(offset, buffer, flags.has(OpenFlags::kAppend)));
  if (flags.has(OpenFlags::kDataSync)) TRY(synchronize());
  return count;
}

Result<std::size_t> OpenFile::do_read(std::uint64_t offset, IoBuffer& buffer) {
  return inode_->read_at(offset, buffer);
}

Result<std::size_t> OpenFile::do_write(std::uint64_t& offset, IoBuffer& buffer, bool append) {
  return inode_->write_at(offset, buffer, append);
}

Result<std::uint64_t> OpenFile::seek(std::int64_t offset, SeekFrom from) {
  if (!seekable()) return failure(KernelError::IllegalSeek);
  MutexGuard guard(offset_lock_);
  std::uint64_t base = 0;
  if (from == SeekFrom::Current) base = offset_;
  if (from == SeekFrom::End) base = inode_->stat().size;
  std::int64_t position;
  if (__builtin_add_overflow(static_cast<std::int64_t>(base), offset, &position) || position < 0)
    return failure(KernelError::InvalidArgument);
  offset_ = static_cast<std::uint64_t>(position);
  return offset_;
}

PollEvents OpenFile::poll(PollWaiter*) { return PollEvents::kReadable | PollEvents::kWritable; }

Result<std::uint64_t> OpenFile::control(std::uint32_t, std::uint64_t) {
  return failure(KernelError::NotTerminal);
}

Result<std::size_t> OpenFile::pipe_capacity() { return failure(KernelError::BadFileDescriptor); }

Result<> OpenFile::set_pipe_capacity(std::size_t) { return failure(KernelError::BadFileDescriptor); }

Result<> OpenFile::iterate(DirectoryVisitor& visitor) {
  if (!flags().readable()) return failure(KernelError::BadFileDescriptor);
  if (!inode_ || !inode_->is_directory()) return failure(KernelError::NotDirectory);
  MutexGuard guard(offset_lock_);
  return inode_->iterate(offset_, visitor);
}

Result<> OpenFile::truncate(std::uint64_t size) {
  if (!flags().writable() || !inode_) return failure(KernelError::InvalidArgument);
  return inode_->truncate(size);
}

Result<> OpenFile::synchronize() {
  if (!inode_ || !seekable()) return failure(KernelError::InvalidArgument);
  return inode_->synchronize();
}

Result<Stat> OpenFile::stat() const {
  if (!inode_) return failure(KernelError::BadFileDescriptor);
  return inode_->stat();
}

}  // namespace faultline
