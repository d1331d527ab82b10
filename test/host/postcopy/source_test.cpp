// The page sources against real files and real Unix sockets, with page servers that misbehave in every way.

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <vector>

#include "test/host/machine/machine.hpp"
#include "test/host/postcopy/page_server.hpp"
#include "test/host/postcopy/posix_sources.hpp"
#include "test/host/postcopy/temporary_folder.hpp"

using namespace faultline;
using namespace faultline::host;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kBase = 0x4000'0000;
/// Than any patience here, however busy the host; and shorter than what the servers would take without an end
/// to it.
constexpr auto kMuchLonger = 15s;

std::vector<std::byte> pattern(std::uint64_t ipa, std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((ipa + i) * 31 >> 3);
  return bytes;
}

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

TEST_SUITE_BEGIN("postcopy: the memory-file source");

TEST_CASE("a page is read at its address minus the base") {
  sim::Machine machine;
  TemporaryFolder folder;
  const auto image = pattern(0, 4 * kPage);
  write_file(folder.path("image"), image);
  const auto source = memory_file_source(folder.path("image"), kBase);
  std::vector<std::byte> out(kPage);
  REQUIRE(source->fetch({kBase + 2 * kPage, kPage}, out));
  CHECK(std::memcmp(out.data(), image.data() + 2 * kPage, kPage) == 0);
}

TEST_CASE("a missing file is an Open error, and the page comes once the file exists") {
  sim::Machine machine;
  TemporaryFolder folder;
  const auto source = memory_file_source(folder.path("image"), 0);
  std::vector<std::byte> out(kPage);
  CHECK(source->fetch({0, kPage}, out).error() == SourceError::Open);
  write_file(folder.path("image"), pattern(0, kPage));
  CHECK(source->fetch({0, kPage}, out));
}

TEST_CASE("a file that ends before or within the page is a Short error") {
  sim::Machine machine;
  TemporaryFolder folder;
  write_file(folder.path("image"), pattern(0, kPage + 100));
  const auto source = memory_file_source(folder.path("image"), kBase);
  std::vector<std::byte> out(kPage);
  CHECK(source->fetch({kBase, kPage}, out));
  CHECK(source->fetch({kBase + kPage, kPage}, out).error() == SourceError::Short);
  CHECK(source->fetch({kBase + 2 * kPage, kPage}, out).error() == SourceError::Short);
}

TEST_CASE("an address below the base is a Short error, and the file is not asked") {
  sim::Machine machine;
  struct Everything final : PositionedReader {  // a file that has a byte at every position
    std::expected<std::size_t, SourceError> read_at(std::uint64_t, std::span<std::byte> out) override {
      ++reads;
      return out.size();
    }
    unsigned reads = 0;
  };
  const Ref<Everything> file = make_ref<Everything>().value();
  const auto source = make_ref<MemoryFileSource>(file, kBase).value();
  std::vector<std::byte> out(kPage);
  CHECK(source->fetch({kBase - kPage, kPage}, out).error() == SourceError::Short);
  CHECK(file->reads == 0);
  CHECK(source->fetch({kBase, kPage}, out));
}

TEST_CASE("a path that is no file is an I/O error") {
  sim::Machine machine;
  TemporaryFolder folder;
  const auto source = memory_file_source(folder.path("."), 0);
  std::vector<std::byte> out(kPage);
  CHECK(source->fetch({0, kPage}, out).error() == SourceError::Io);
}

TEST_CASE("the last page of a sparse 64 GiB file is read") {
  sim::Machine machine;
  TemporaryFolder folder;
  constexpr std::uint64_t kSize = std::uint64_t{64} << 30;
  {
    std::ofstream file(folder.path("image"), std::ios::binary);
    file.seekp(static_cast<std::streamoff>(kSize - 1));
    file.put('z');
  }
  const auto source = memory_file_source(folder.path("image"), kBase);
  std::vector<std::byte> out(kPage);
  REQUIRE(source->fetch({kBase + kSize - kPage, kPage}, out));
  CHECK(out[0] == std::byte{0});
  CHECK(out[kPage - 1] == std::byte{'z'});
}

TEST_SUITE_END();
TEST_SUITE_BEGIN("postcopy: the page-server source");

TEST_CASE("a request is the address and the page size, both little-endian u64") {
  sim::Machine machine;
  TemporaryFolder folder;
  PageServer server(folder.path("socket"), PageServer::answer_with(pattern));
  const auto source = page_server_source(server.path(), 10s);
  std::vector<std::byte> out(kPage);
  REQUIRE(source->fetch({0x0102'0304'0506'7000, kPage}, out));
  const std::array<std::uint8_t, 16> expected = {0x00, 0x70, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, 0x00, 0x10};
  CHECK(std::memcmp(server.last_request().data(), expected.data(), expected.size()) == 0);
}

TEST_CASE("the reply's bytes after the echo are the page, and one connection serves many pages") {
  sim::Machine machine;
  TemporaryFolder folder;
  PageServer server(folder.path("socket"), PageServer::answer_with(pattern));
  const auto source = page_server_source(server.path(), 10s);
  std::vector<std::byte> out(kPage);
  for (std::uint64_t ipa = 0; ipa < 20 * kPage; ipa += kPage) {
    REQUIRE(source->fetch({ipa, kPage}, out));
    CHECK(out == pattern(ipa, kPage));
  }
  CHECK(server.connections() == 1);
}

TEST_CASE("a server that is not there is an Open error") {
  sim::Machine machine;
  TemporaryFolder folder;
  const auto source = page_server_source(folder.path("socket"), 10s);
  std::vector<std::byte> out(kPage);
  CHECK(source->fetch({0, kPage}, out).error() == SourceError::Open);
  const auto unnameable = page_server_source(std::string(300, 'x'), 10s);
  CHECK(unnameable->fetch({0, kPage}, out).error() == SourceError::Open);
}

TEST_CASE(
    "a reply that echoes another address or size is a protocol error, and the next request reconnects") {
  sim::Machine machine;
  TemporaryFolder folder;
  PageServer server(folder.path("socket"), PageServer::echoing([](PageRequest request) {
                      if (request.ipa == 0) return PageRequest{kPage, kPage};
                      if (request.ipa == kPage) return PageRequest{kPage, 2 * kPage};
                      return request;
                    }));
  const auto source = page_server_source(server.path(), 10s);
  std::vector<std::byte> out(kPage);
  CHECK(source->fetch({0, kPage}, out).error() == SourceError::Protocol);
  CHECK(source->fetch({kPage, kPage}, out).error() == SourceError::Protocol);
  CHECK(source->fetch({2 * kPage, kPage}, out));
  CHECK(server.connections() == 3);
}

TEST_CASE("a server that closes in the middle of a page is a Short error, and the next request reconnects") {
  sim::Machine machine;
  TemporaryFolder folder;
  PageServer server(folder.path("socket"), PageServer::cut_off_first(kPage / 2, pattern));
  const auto source = page_server_source(server.path(), 10s);
  std::vector<std::byte> out(kPage);
  CHECK(source->fetch({kPage, kPage}, out).error() == SourceError::Short);
  REQUIRE(source->fetch({kPage, kPage}, out));
  CHECK(out == pattern(kPage, kPage));
  CHECK(server.connections() == 2);
}

TEST_CASE("a server that never answers is a TimedOut error within the patience") {
  sim::Machine machine;
  TemporaryFolder folder;
  PageServer server(folder.path("socket"), PageServer::silent());
  const auto source = page_server_source(server.path(), 50ms);
  std::vector<std::byte> out(kPage);
  const auto started = std::chrono::steady_clock::now();
  CHECK(source->fetch({0, kPage}, out).error() == SourceError::TimedOut);
  CHECK(std::chrono::steady_clock::now() - started < kMuchLonger);
}

TEST_CASE("a server that sends a page byte by byte stretches the patience by nothing") {
  sim::Machine machine;
  TemporaryFolder folder;
  PageServer server(folder.path("socket"), PageServer::trickling(10ms));
  const auto source = page_server_source(server.path(), 50ms);
  std::vector<std::byte> out(kPage);
  const auto started = std::chrono::steady_clock::now();
  CHECK(source->fetch({0, kPage}, out).error() == SourceError::TimedOut);
  CHECK(std::chrono::steady_clock::now() - started < kMuchLonger);
}

TEST_CASE("a reply that comes after the patience has ended is not taken for the next one's") {
  sim::Machine machine;
  TemporaryFolder folder;
  PageServer server(folder.path("socket"), PageServer::silent_first(pattern));
  const auto source = page_server_source(server.path(), 2s);
  std::vector<std::byte> out(kPage);
  CHECK(source->fetch({0, kPage}, out).error() == SourceError::TimedOut);
  REQUIRE(source->fetch({kPage, kPage}, out));
  CHECK(out == pattern(kPage, kPage));
  CHECK(server.connections() == 2);
}

TEST_CASE("threads that wait behind one that waits for a silent server time out as well") {
  sim::Machine machine;
  TemporaryFolder folder;
  PageServer server(folder.path("socket"), PageServer::silent());
  const auto source = page_server_source(server.path(), 50ms);
  std::atomic<unsigned> timed_out = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      std::vector<std::byte> out(kPage);
      if (const auto result = source->fetch({0, kPage}, out);
          !result && result.error() == SourceError::TimedOut) {
        timed_out.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(timed_out == 8);
}

TEST_CASE("a hundred threads share the connection and each gets its own page") {
  sim::Machine machine;
  TemporaryFolder folder;
  PageServer server(folder.path("socket"), PageServer::answer_with(pattern));
  const auto source = page_server_source(server.path(), 60s);
  std::atomic<unsigned> right = 0;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 100; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::byte> out(kPage);
      if (source->fetch({t * kPage, kPage}, out) && out == pattern(t * kPage, kPage)) right.fetch_add(1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 100);
}

TEST_SUITE_END();
