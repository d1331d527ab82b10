#include "test/host/postcopy/posix_sources.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

namespace faultline::host {

namespace {

ByteStream::Deadline monotonic_now() { return std::chrono::steady_clock::now().time_since_epoch(); }

/// Waits until `descriptor` is ready for `events` (POLLIN or POLLOUT).
std::expected<void, SourceError> wait_ready(int descriptor, short events, ByteStream::Deadline deadline) {
  for (;;) {
    const auto left = (deadline - monotonic_now()).in_milliseconds_rounded_up();
    if (left <= 0) return std::unexpected(SourceError::TimedOut);
    pollfd waiting{descriptor, events, 0};
    const int ready =
        poll(&waiting, 1, static_cast<int>(std::min<long>(left, std::numeric_limits<int>::max())));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return std::unexpected(SourceError::Io);
  }
}

class UnixSocketStream : public ByteStream {
 public:
  explicit UnixSocketStream(FileDescriptor socket) : socket_(std::move(socket)) {}

  std::expected<void, SourceError> send(std::span<const std::byte> bytes, Deadline deadline) override {
    while (!bytes.empty()) {
      if (auto ready = wait_ready(socket_.get(), POLLOUT, deadline); !ready) return ready;
      const ssize_t count = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count >= 0) {
        bytes = bytes.subspan(static_cast<std::size_t>(count));
      } else if (errno == EPIPE || errno == ECONNRESET) {
        return std::unexpected(SourceError::Short);
      } else if (errno != EAGAIN && errno != EINTR) {
        return std::unexpected(SourceError::Io);
      }
    }
    return {};
  }

  std::expected<void, SourceError> receive(std::span<std::byte> bytes, Deadline deadline) override {
    while (!bytes.empty()) {
      if (auto ready = wait_ready(socket_.get(), POLLIN, deadline); !ready) return ready;
      const ssize_t count = recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (count > 0) {
        bytes = bytes.subspan(static_cast<std::size_t>(count));
      } else if (count == 0 || errno == ECONNRESET) {
        return std::unexpected(SourceError::Short);
      } else if (errno != EAGAIN && errno != EINTR) {
        return std::unexpected(SourceError::Io);
      }
    }
    return {};
  }

 private:
  FileDescriptor socket_;
};

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (valid()) close(number_);
}

std::expected<std::size_t, SourceError> PosixFile::read_at(std::uint64_t position, std::span<std::byte> out) {
  {
    std::lock_guard guard(opening_);
    if (!file_.valid()) file_ = FileDescriptor(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file_.valid()) return std::unexpected(SourceError::Open);
  }
  if (position > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) return 0;
  for (;;) {
    const ssize_t count = pread(file_.get(), out.data(), out.size(), static_cast<off_t>(position));
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return std::unexpected(SourceError::Io);
  }
}

std::expected<Ref<ByteStream>, SourceError> UnixSocketConnector::connect(ByteStream::Deadline deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) return std::unexpected(SourceError::Open);
  std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);

  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return std::unexpected(SourceError::Open);
  // A Unix socket whose backlog is full refuses with EAGAIN instead of completing later: try again until the
  // deadline.
  while (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return std::unexpected(SourceError::Open);
    if (monotonic_now() >= deadline) return std::unexpected(SourceError::TimedOut);
    poll(nullptr, 0, 1);
  }
  auto stream = make_ref<UnixSocketStream>(std::move(socket));
  if (!stream) return std::unexpected(SourceError::Io);
  return Ref<ByteStream>(std::move(*stream));
}

ByteStream::Deadline UnixSocketConnector::now() { return monotonic_now(); }

std::expected<void, SourceError> UnixSocketConnector::begin_turn(ByteStream::Deadline deadline) {
  const std::chrono::steady_clock::time_point until(std::chrono::nanoseconds(deadline.in_nanoseconds()));
  std::unique_lock guard(lock_);
  if (!turn_ended_.wait_until(guard, until, [&] { return !turn_taken_; }))
    return std::unexpected(SourceError::TimedOut);
  turn_taken_ = true;
  return {};
}

void UnixSocketConnector::end_turn() {
  {
    std::lock_guard guard(lock_);
    turn_taken_ = false;
  }
  turn_ended_.notify_one();
}

Ref<PageSource> memory_file_source(std::string path, std::uint64_t base) {
  return make_ref<MemoryFileSource>(make_ref<PosixFile>(std::move(path)).value(), base).value();
}

Ref<PageSource> page_server_source(std::string socket_path, std::chrono::nanoseconds patience) {
  return make_ref<PageServerSource>(make_ref<UnixSocketConnector>(std::move(socket_path)).value(), patience)
      .value();
}

}  // namespace faultline::host
