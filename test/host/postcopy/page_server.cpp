#include "test/host/postcopy/page_server.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <stdexcept>

namespace faultline::host {

// The wire is little-endian, and so is every host these tests run on.
static_assert(std::endian::native == std::endian::little);

namespace {

bool send_all(int connection, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return true;
}

bool send_page(int connection, PageRequest echo, std::span<const std::byte> page) {
  const std::uint64_t header[] = {echo.ipa, echo.page_size};
  return send_all(connection, std::as_bytes(std::span(header))) && send_all(connection, page);
}

}  // namespace

PageServer::Behaviour PageServer::answer_with(Contents contents) {
  return [contents](int connection, PageRequest request, unsigned) {
    return send_page(connection, request, contents(request.ipa, request.page_size));
  };
}

PageServer::Behaviour PageServer::echoing(std::function<PageRequest(PageRequest)> change) {
  return [change](int connection, PageRequest request, unsigned) {
    return send_page(connection, change(request), std::vector<std::byte>(request.page_size));
  };
}

PageServer::Behaviour PageServer::cut_off_first(std::size_t bytes, Contents contents) {
  return [bytes, contents](int connection, PageRequest request, unsigned number) {
    const auto page = contents(request.ipa, request.page_size);
    send_page(connection, request, number == 0 ? std::span(page).first(bytes) : std::span(page));
    return number != 0;
  };
}

PageServer::Behaviour PageServer::silent() {
  return [](int, PageRequest, unsigned) { return true; };
}

PageServer::Behaviour PageServer::silent_first(Contents contents) {
  return [contents](int connection, PageRequest request, unsigned number) {
    return number == 0 || send_page(connection, request, contents(request.ipa, request.page_size));
  };
}

PageServer::Behaviour PageServer::trickling(std::chrono::milliseconds pause) {
  return [pause](int connection, PageRequest request, unsigned) {
    const std::vector<std::byte> page(request.page_size);
    if (!send_page(connection, request, {})) return false;
    for (const std::byte& byte : page) {
      pollfd hung_up{connection, POLLRDHUP, 0};
      if (poll(&hung_up, 1, static_cast<int>(pause.count())) != 0) return false;
      if (!send_all(connection, {&byte, 1})) return false;
    }
    return true;
  };
}

PageServer::PageServer(std::string path, Behaviour behaviour)
    : path_(std::move(path)),
      behaviour_(std::move(behaviour)),
      listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) throw std::runtime_error("socket path too long: " + path_);
  std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
  int stop[2];
  if (bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener_.get(), 8) != 0 || pipe2(stop, O_CLOEXEC) != 0) {
    throw std::runtime_error("cannot listen at " + path_);
  }
  stop_reader_ = FileDescriptor(stop[0]);
  stop_writer_ = FileDescriptor(stop[1]);
  thread_ = std::thread([this] { serve(); });
}

PageServer::~PageServer() {
  stop_writer_ = FileDescriptor();
  thread_.join();
}

PageServer::RawRequest PageServer::last_request() {
  std::lock_guard guard(lock_);
  return last_request_;
}

void PageServer::serve() {
  std::vector<FileDescriptor> open;
  for (;;) {
    std::vector<pollfd> waiting = {{stop_reader_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    for (const FileDescriptor& connection : open) waiting.push_back({connection.get(), POLLIN, 0});
    if (poll(waiting.data(), waiting.size(), -1) < 0) continue;
    if (waiting[0].revents != 0) return;
    for (std::size_t i = open.size(); i-- > 0;) {
      if (waiting[2 + i].revents == 0) continue;
      PageRequest request;
      RawRequest raw;
      const ssize_t count = recv(open[i].get(), raw.data(), raw.size(), MSG_WAITALL);
      bool keep = count == static_cast<ssize_t>(raw.size());
      if (keep) {
        {
          std::lock_guard guard(lock_);
          last_request_ = raw;
        }
        std::memcpy(&request, raw.data(), raw.size());
        keep = behaviour_(open[i].get(), request, requests_++);
      }
      if (!keep) open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (waiting[1].revents != 0) {
      open.emplace_back(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      connections_.fetch_add(1);
    }
  }
}

}  // namespace faultline::host
