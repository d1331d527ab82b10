// Sources that fail, behind the fault servers: each failure is a typed error, a count, and no lost page.

#include <doctest/doctest.h>

#include <fstream>
#include <functional>
#include <vector>

#include "test/host/postcopy/page_server.hpp"
#include "test/host/postcopy/temporary_folder.hpp"
#include "test/host/postcopy/touching.hpp"

using namespace faultline;
using namespace faultline::host;
using namespace std::chrono_literals;

namespace {

std::vector<std::byte> contents(std::uint64_t ipa, std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = byte_at(ipa + i);
  return bytes;
}

void write_image(const std::string& path, std::size_t size) {
  const auto bytes = contents(kBase, size);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

/// Serves one page from a source whose first fetch fails with `error`, and which is right after mend().
template <class T>
void check_failure(Ref<PageSource> source, SourceError error, const std::function<void()>& mend) {
  CatchFaults faults;
  auto pager = PostcopyPager::create(std::move(source), quick()).value();
  auto server = FaultServer::start(pager->handle(), kBase, kPage, T::kChoice).value();
  CHECK(server->fetch_page(kBase).error() == PagerError::source(error));
  CHECK(pager->stats().source_errors == 1);
  CHECK(pager->stats().faults == 0);
  CHECK_FALSE(server->is_installed(kBase));
  mend();
  REQUIRE(eventually([&] { return CatchFaults::read(server->memory()) == byte_at(kBase); }));
  for (std::uint64_t i = 0; i < kPage; ++i) REQUIRE(server->memory()[i] == byte_at(kBase + i));
  CHECK(pager->stats().faults == 1);
  CHECK(pager->stats().source_errors == 1);
}

}  // namespace

TEST_SUITE_BEGIN("postcopy: sources that fail");

FOR_EACH_BACKEND(
    "a missing file is an Open error of the fault, counted, and the page comes once the file exists") {
  if (!permitted<T>()) return;
  sim::Machine machine;
  TemporaryFolder folder;
  const std::string path = folder.path("image");
  check_failure<T>(memory_file_source(path, kBase), SourceError::Open, [&] { write_image(path, kPage); });
}

FOR_EACH_BACKEND(
    "a file too short is a Short error of the fault, counted, and the page comes once the file is longer") {
  if (!permitted<T>()) return;
  sim::Machine machine;
  TemporaryFolder folder;
  const std::string path = folder.path("image");
  write_image(path, kPage - 1);
  check_failure<T>(memory_file_source(path, kBase), SourceError::Short, [&] { write_image(path, kPage); });
}

FOR_EACH_BACKEND(
    "a page server not there is an Open error of the fault, counted, and the page comes once it listens") {
  if (!permitted<T>()) return;
  sim::Machine machine;
  TemporaryFolder folder;
  const std::string path = folder.path("socket");
  std::unique_ptr<PageServer> late;
  check_failure<T>(page_server_source(path, 10s), SourceError::Open,
                   [&] { late = std::make_unique<PageServer>(path, PageServer::answer_with(contents)); });
}

FOR_EACH_BACKEND(
    "a connection closed in mid-page is a Short error of the fault, counted, and the page comes by the "
    "next") {
  if (!permitted<T>()) return;
  sim::Machine machine;
  TemporaryFolder folder;
  PageServer page_server(folder.path("socket"), PageServer::cut_off_first(kPage / 2, contents));
  check_failure<T>(page_server_source(page_server.path(), 10s), SourceError::Short, [] {});
}

FOR_EACH_BACKEND(
    "a wrong echo is a Protocol error of the fault, counted, and the page comes at the next request") {
  if (!permitted<T>()) return;
  sim::Machine machine;
  TemporaryFolder folder;
  const auto wrong = PageServer::echoing(
      [](PageRequest request) { return PageRequest{request.ipa + request.page_size, request.page_size}; });
  const auto right = PageServer::answer_with(contents);
  PageServer page_server(folder.path("socket"), [&](int connection, PageRequest request, unsigned number) {
    return number == 0 ? wrong(connection, request, number) : right(connection, request, number);
  });
  check_failure<T>(page_server_source(page_server.path(), 10s), SourceError::Protocol, [] {});
}

FOR_EACH_BACKEND(
    "a server that never answers is a TimedOut error of the fault, counted, and the page comes by another") {
  if (!permitted<T>()) return;
  sim::Machine machine;
  TemporaryFolder folder;
  PageServer page_server(folder.path("socket"), PageServer::silent_first(contents));
  check_failure<T>(page_server_source(page_server.path(), 2s), SourceError::TimedOut, [] {});
}

FOR_EACH_BACKEND(
    "a hundred threads that touch what a silent server never delivers all get SIGSEGV, and none hangs") {
  if (!permitted<T>()) return;
  sim::Machine machine;
  CatchFaults faults;
  TemporaryFolder folder;
  PageServer page_server(folder.path("socket"), PageServer::silent());
  auto pager = PostcopyPager::create(page_server_source(page_server.path(), 5ms), quick()).value();
  auto server = FaultServer::start(pager->handle(), kBase, 10 * kPage, T::kChoice).value();
  std::atomic<unsigned> refused = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 100; ++t) {
    threads.emplace_back([&, t] {
      if (!CatchFaults::read(server->memory() + t % 10 * kPage)) refused.fetch_add(1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(refused == 100);
  CHECK(pager->stats().source_errors >= 10);
  CHECK(pager->stats().faults == 0);
}

TEST_SUITE_END();
