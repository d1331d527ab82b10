#pragma once
// A page server for tests: a thread that listens at a Unix socket and answers as the test wants.

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "kernel/mm/page_source.hpp"
#include "test/host/postcopy/posix_sources.hpp"

namespace faultline::host {

class PageServer {
 public:
  using RawRequest = std::array<std::byte, 16>;
  /// The contents of the `size` bytes at `ipa`.
  using Contents = std::function<std::vector<std::byte>(std::uint64_t ipa, std::size_t size)>;
  /// Answers one request on `connection`, the `number`-th from 0; false: close the connection.
  using Behaviour = std::function<bool(int connection, PageRequest request, unsigned number)>;

  static Behaviour answer_with(Contents contents);
  /// Echoes what `change` makes of the request, then a page of zeroes.
  static Behaviour echoing(std::function<PageRequest(PageRequest)> change);
  /// Closes the first connection `bytes` into the first page; answers rightly afterwards.
  static Behaviour cut_off_first(std::size_t bytes, Contents contents);
  /// Reads requests and answers none.
  static Behaviour silent();
  /// Does not answer the first request; answers rightly afterwards.
  static Behaviour silent_first(Contents contents);
  /// Echoes rightly, then sends one byte of the page after another, with such pauses, until the client hangs
  /// up.
  static Behaviour trickling(std::chrono::milliseconds pause);

  PageServer(std::string path, Behaviour behaviour);
  PageServer(const PageServer&) = delete;
  PageServer& operator=(const PageServer&) = delete;
  /// Closes every connection and ends the thread.
  ~PageServer();

  const std::string& path() const { return path_; }
  unsigned connections() const { return connections_.load(); }
  RawRequest last_request();

 private:
  void serve();

  std::string path_;
  Behaviour behaviour_;
  FileDescriptor listener_, stop_reader_, stop_writer_;
  std::mutex lock_;
  RawRequest last_request_{};
  std::atomic<unsigned> connections_ = 0;
  unsigned requests_ = 0;
  std::thread thread_;
};

}  // namespace faultline::host
