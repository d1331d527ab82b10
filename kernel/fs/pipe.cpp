#include "kernel/fs/pipe.hpp"

#include <bit>

#include "kernel/fs/file_system.hpp"
#include "kernel/fs/pipe_buffer.hpp"
#include "kernel/sync/mutex.hpp"

namespace faultline {
namespace {

constexpr std::uint32_t kBytesReadable = 0x541b;  // FIONREAD

// What the ends of a pipe share. The mutex is held while bytes are copied from or to user memory; neither
// page faults nor what makes memory free for them need a lock of a pipe.
class Pipe : public RefCounted, public ListNode<> {
 public:
  Pipe() = default;

  Result<std::size_t> read(IoBuffer& target, bool may_wait);
  Result<std::size_t> write(IoBuffer& source, PipeBuffer::Write kind, bool may_wait);
  PollEvents poll(bool reader, bool writer, PollWaiter* waiter);
  std::size_t size() {
    MutexGuard guard(lock_);
    return buffer_.size();
  }

  std::size_t frames() {
    MutexGuard guard(lock_);
    return buffer_.frames();
  }

  std::size_t capacity() {
    MutexGuard guard(lock_);
    return buffer_.capacity();
  }
  Result<> set_capacity(std::size_t bytes);
  AsyncFiles& async_files() { return async_files_; }

  void join(bool reader, bool writer);
  void leave(bool reader, bool writer);
  /// Waits for the other side of a named pipe.
  Result<> wait_for_partner(bool reader);
  bool has_reader() {
    MutexGuard guard(lock_);
    return readers_ != 0;
  }

 private:
  Mutex lock_{LockRank::FileSystem};
  PipeBuffer buffer_;
  unsigned readers_ = 0, writers_ = 0;  // open descriptions
  std::uint64_t readers_seen_ = 0,
                writers_seen_ = 0;  // how many there have been: one that came and went counts
  WaitQueue has_data_, has_room_, has_partner_;
  PollQueue pollers_;
  AsyncFiles async_files_;
};

Result<std::size_t> Pipe::read(IoBuffer& target, bool may_wait) {
  if (target.remaining() == 0) return 0;
  const std::size_t before = target.transferred();
  MutexGuard guard(lock_);
  while (buffer_.empty()) {
    if (writers_ == 0) return 0;
    if (!may_wait) return failure(KernelError::TryAgain);
    TRY(has_data_.sleep_interruptible(guard));
  }
  const Result<> copied = buffer_.drain(target);
  const bool more = !buffer_.empty();
  guard.release();
  // One reader is woken for each write; what this one leaves is the next one's.
  if (more) has_data_.wake_one();
  has_room_.wake_all();
  pollers_.notify();
  async_files_.notify(FileEvent::Writable);
  return target.outcome(before, copied);
}

Result<std::size_t> Pipe::write(IoBuffer& source, PipeBuffer::Write kind, bool may_wait) {
  if (source.remaining() == 0) return 0;
  const std::size_t before = source.transferred();
  // A small write goes in as a whole or waits, so that it is not mixed with others.
  const std::size_t least = source.remaining() <= kPipeAtomicWrite ? source.remaining() : 1;
  Result<> outcome;
  MutexGuard guard(lock_);
  for (;;) {
    if (readers_ == 0) {
      outcome = failure(KernelError::BrokenPipe);
      break;
    }
    if (buffer_.has_room(least, kind)) {
      const std::size_t moved = source.transferred();
      outcome = buffer_.fill(source, kind);
      if (source.transferred() != moved) {
        has_data_.wake_one();
        pollers_.notify();
        async_files_.notify(FileEvent::Readable);
      }
      if (!outcome || source.remaining() == 0) break;
    }
    if (!may_wait) {
      outcome = failure(KernelError::TryAgain);
      break;
    }
    outcome = has_room_.sleep_interruptible(guard);
    if (!outcome) break;
  }
  return source.outcome(before, outcome);
}

PollEvents Pipe::poll(bool reader, bool writer, PollWaiter* waiter) {
  if (waiter != nullptr) waiter->watch(pollers_);
  MutexGuard guard(lock_);
  PollEvents events;
  if (reader && !buffer_.empty()) events = events | PollEvents::kReadable;
  if (reader && writers_ == 0 && writers_seen_ != 0) events = events | PollEvents::kHangUp;
  if (writer && buffer_.has_room(kPipeAtomicWrite, PipeBuffer::Write::Bytes))
    events = events | PollEvents::kWritable;
  if (writer && readers_ == 0) events = events | PollEvents::kError;
  return events;
}

Result<> Pipe::set_capacity(std::size_t bytes) {
  MutexGuard guard(lock_);
  TRY(buffer_.set_capacity(bytes));
  guard.release();
  has_room_.wake_all();
  pollers_.notify();
  return {};
}

void Pipe::join(bool reader, bool writer) {
  MutexGuard guard(lock_);
  readers_ += reader;
  writers_ += writer;
  readers_seen_ += reader;
  writers_seen_ += writer;
  has_partner_.wake_all();
}

void Pipe::leave(bool reader, bool writer) {
  MutexGuard guard(lock_);
  readers_ -= reader;
  writers_ -= writer;
  guard.release();
  has_data_.wake_all();
  has_room_.wake_all();
  pollers_.notify();
  async_files_.notify(FileEvent::Readable);
  async_files_.notify(FileEvent::Writable);
}

Result<> Pipe::wait_for_partner(bool reader) {
  MutexGuard guard(lock_);
  const std::uint64_t& seen = reader ? writers_seen_ : readers_seen_;
  const unsigned& present = reader ? writers_ : readers_;
  const std::uint64_t before = seen;
  while (present == 0 && seen == before) TRY(has_partner_.sleep_interruptible(guard));
  return {};
}

class PipeEnd final : public OpenFile {
 public:
  PipeEnd(Ref<Inode> inode, OpenFlags flags, Ref<Pipe> pipe)
      : OpenFile(std::move(inode), flags), pipe_(std::move(pipe)) {
    pipe_->join(this->flags().readable(), this->flags().writable());
  }
  ~PipeEnd() override {
    signals().end();
    pipe_->leave(flags().readable(), flags().writable());
  }

  bool seekable() const override { return false; }
  // One of two ends.
  std::size_t held_frames() override { return pipe_->frames() / 2; }
  PollEvents poll(PollWaiter* waiter) override {
    return pipe_->poll(flags().readable(), flags().writable(), waiter);
  }
  Result<std::size_t> pipe_capacity() override { return pipe_->capacity(); }
  Result<> set_pipe_capacity(std::size_t bytes) override { return pipe_->set_capacity(bytes); }
  Result<std::uint64_t> control(std::uint32_t request, std::uint64_t) override {
    if (request != kBytesReadable) return failure(KernelError::NotTerminal);
    return pipe_->size();
  }

 protected:
  Result<std::size_t> do_read(std::uint64_t, IoBuffer& buffer) override {
    return pipe_->read(buffer, !flags().has(OpenFlags::kNonBlocking));
  }
  Result<std::size_t> do_write(std::uint64_t&, IoBuffer& buffer, bool) override {
    const auto kind = flags().has(OpenFlags::kDirect) ? PipeBuffer::Write::Packets : PipeBuffer::Write::Bytes;
    return pipe_->write(buffer, kind, !flags().has(OpenFlags::kNonBlocking));
  }
  AsyncFiles* async_files() override { return &pipe_->async_files(); }

 private:
  Ref<Pipe> pipe_;
};

// Where inodes of pipes without a name belong.
class PipeFileSystem final : public FileSystem {
 public:
  std::string_view type() const override { return "pipefs"; }
  std::string_view source() const override { return "none"; }
  bool read_only() const override { return false; }
  Ref<Inode> root() override { return nullptr; }
  FileSystemStatistics statistics() override { return {.magic = 0x50495045}; }
  Result<Ref<Inode>> directory(std::uint64_t) override { return failure(KernelError::NoSuchFile); }
};
constinit PipeFileSystem pipe_file_system;

// The inode of a pipe without a name. Opening it again (through /proc) joins the same pipe.
class PipeInode final : public Inode {
 public:
  explicit PipeInode(Ref<Pipe> pipe) : pipe_(std::move(pipe)), made_(current_time()) {
    static std::atomic<std::uint64_t> next_number = 1;
    number_ = next_number.fetch_add(1, std::memory_order_relaxed);
  }
  FileSystem& file_system() const override { return pipe_file_system; }
  FileKind kind() const override { return FileKind::Fifo; }
  Stat stat() const override {
    Stat stat;
    stat.device = 1;
    stat.inode = number_;
    stat.mode = mode::kFifo | 0600;
    stat.links = 1;
    stat.accessed = stat.modified = stat.changed = made_;
    return stat;
  }
  Result<Ref<OpenFile>> open(const OpenFlags& flags) override {
    return make_ref<PipeEnd>(Ref<Inode>::share(*this), flags, pipe_);
  }

 private:
  Ref<Pipe> pipe_;
  std::uint64_t number_;
  Timestamp made_;
};

// Pipes with a name, while somebody has them open.
class NamedPipe final : public Pipe {
 public:
  NamedPipe(std::uint64_t device, std::uint64_t inode) : device_(device), inode_(inode) {}
  ~NamedPipe() override;
  bool is(const Inode& inode) const {
    return inode.device_number() == device_ && inode.inode_number() == inode_;
  }

 private:
  std::uint64_t device_, inode_;
};
Mutex named_lock{LockRank::FileSystem};
List<Pipe> named_pipes;  // NamedPipes; an element whose last reference has just gone waits for the lock in
                         // its destructor

NamedPipe::~NamedPipe() {
  MutexGuard guard(named_lock);
  if (linked()) unlink();
}

Result<Ref<Pipe>> find_named_pipe(const Inode& inode) {
  MutexGuard guard(named_lock);
  for (Pipe& pipe : named_pipes)
    if (static_cast<NamedPipe&>(pipe).is(inode) && pipe.try_acquire_reference())
      return Ref<Pipe>::adopt(&pipe);
  Ref<NamedPipe> pipe = TRY(make_ref<NamedPipe>(inode.device_number(), inode.inode_number()));
  TRY(pipe->set_capacity(kPipeCapacity));
  named_pipes.push_back(*pipe);
  return pipe;
}

std::atomic<std::size_t> capacity_limit = 1 << 20;

}  // namespace

Result<std::size_t> round_pipe_capacity(std::uint64_t bytes) {
  constexpr std::uint64_t kGreatest = std::uint64_t{1} << 31;
  if (bytes > kGreatest) return failure(KernelError::InvalidArgument);
  return std::bit_ceil(std::max<std::size_t>(bytes, kPageSize));
}

std::size_t pipe_capacity_limit() { return capacity_limit.load(std::memory_order_relaxed); }

Result<> set_pipe_capacity_limit(std::uint64_t bytes) {
  capacity_limit.store(TRY(round_pipe_capacity(bytes)), std::memory_order_relaxed);
  return {};
}

Result<PipeEnds> make_pipe(OpenFlags flags) {
  const std::uint32_t status = flags.bits & OpenFlags::kChangeable;
  Ref<Pipe> pipe = TRY(make_ref<Pipe>());
  TRY(pipe->set_capacity(kPipeCapacity));
  const Ref<Inode> inode = TRY(make_ref<PipeInode>(pipe));
  PipeEnds ends;
  ends.reader = TRY(make_ref<PipeEnd>(inode, OpenFlags{OpenFlags::kReadOnly | status}, pipe));
  ends.writer = TRY(make_ref<PipeEnd>(inode, OpenFlags{OpenFlags::kWriteOnly | status}, pipe));
  return ends;
}

Result<Ref<OpenFile>> open_named_pipe(Ref<Inode> inode, OpenFlags flags) {
  const Ref<Pipe> pipe = TRY(find_named_pipe(*inode));
  const bool reader = flags.readable(), writer = flags.writable();
  const bool may_wait = !flags.has(OpenFlags::kNonBlocking);
  // Opened for writing alone, a pipe must have a reader; without waiting that is an error, the reverse is
  // not.
  if (writer && !reader && !may_wait && !pipe->has_reader()) return failure(KernelError::NoSuchAddress);
  Ref<OpenFile> end = TRY(make_ref<PipeEnd>(std::move(inode), flags, pipe));
  if (may_wait && reader != writer) TRY(pipe->wait_for_partner(reader));
  return end;
}

}  // namespace faultline
