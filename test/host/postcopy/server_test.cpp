// The fault servers: real memory of this process, filled when it is touched. Every case runs on both back
// ends.

#include <doctest/doctest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <vector>

#include "test/host/postcopy/page_server.hpp"
#include "test/host/postcopy/temporary_folder.hpp"
#include "test/host/postcopy/touching.hpp"

using namespace faultline;
using namespace faultline::host;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("postcopy: fault servers");

FOR_EACH_BACKEND("touching a page brings it over, once") {
  if (!permitted<T>()) return;
  Fixture f(T::kChoice);
  CHECK(f.server->backend() == T::kBackend);
  CHECK_FALSE(f.server->is_installed(kBase + 3 * kPage));
  for (std::uint64_t i = 0; i < kPage; ++i)
    REQUIRE(f.memory[3 * kPage + i] == byte_at(kBase + 3 * kPage + i));
  CHECK(f.source->fetches == 1);
  CHECK(f.server->is_installed(kBase + 3 * kPage));
  CHECK_FALSE(f.server->is_installed(kBase + 4 * kPage));
  CHECK(f.pager->stats().faults == 1);
}

FOR_EACH_BACKEND("what the program writes stays, whether it read the page before or not") {
  if (!permitted<T>()) return;
  Fixture f(T::kChoice);
  f.memory[5] = std::byte{0xee};
  CHECK(f.memory[5] == std::byte{0xee});
  CHECK(f.memory[6] == byte_at(kBase + 6));
  REQUIRE(f.server->fetch_page(kBase));
  CHECK(f.memory[5] == std::byte{0xee});
}

FOR_EACH_BACKEND("a hundred threads that touch one page at once all read its bytes") {
  if (!permitted<T>()) return;
  Fixture f(T::kChoice);
  std::atomic<bool> go = false;
  std::atomic<unsigned> right = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 100; ++t) {
    threads.emplace_back([&] {
      while (!go.load()) std::this_thread::yield();
      if (f.memory[9 * kPage + 1] == byte_at(kBase + 9 * kPage + 1)) right.fetch_add(1);
    });
  }
  go.store(true);
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 100);
}

FOR_EACH_BACKEND("a hundred threads that touch and write pages of their own lose none") {
  if (!permitted<T>()) return;
  Fixture f(T::kChoice, 400 * kPage);
  std::atomic<unsigned> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 100; ++t) {
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < 4; ++i) {
        const std::uint64_t at = (i * 100 + t) * kPage;
        f.memory[at] = std::byte(t);
        if (f.memory[at] != std::byte(t) || f.memory[at + 8] != byte_at(kBase + at + 8)) wrong.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(f.pager->stats().faults >= 400);
}

FOR_EACH_BACKEND(
    "a source that fails gives the toucher SIGSEGV, fetch_page a typed error, and a later touch the page") {
  if (!permitted<T>()) return;
  Fixture f(T::kChoice);
  f.source->failing = true;
  CHECK_FALSE(CatchFaults::read(f.memory + 2 * kPage));
  CHECK(CatchFaults::caught() == f.memory + 2 * kPage);
  CHECK(f.server->fetch_page(kBase + 2 * kPage).error() == PagerError::source(SourceError::Io));
  CHECK(f.pager->stats().source_errors >= 2);
  f.source->failing = false;
  CHECK(eventually([&] { return CatchFaults::read(f.memory + 2 * kPage) == byte_at(kBase + 2 * kPage); }));
}

FOR_EACH_BACKEND("fetch_page outside the region is OutOfRegion") {
  if (!permitted<T>()) return;
  Fixture f(T::kChoice);
  CHECK(f.server->fetch_page(kBase + 64 * kPage).error() == PagerError::out_of_region());
  CHECK(f.server->fetch_page(0).error() == PagerError::out_of_region());
}

FOR_EACH_BACKEND("prewarmed pages are in memory before they are touched") {
  if (!permitted<T>()) return;
  Fixture f(T::kChoice, 64 * kPage, {kBase + kPage, kBase + 7 * kPage});
  REQUIRE(f.server->prewarm());
  CHECK(f.server->is_installed(kBase + kPage));
  CHECK(f.server->is_installed(kBase + 7 * kPage));
  CHECK(f.pager->stats().prewarmed == 2);
  CHECK(f.source->fetches == 2);
  CHECK(f.memory[7 * kPage] == byte_at(kBase + 7 * kPage));
  CHECK(f.source->fetches == 2);
}

FOR_EACH_BACKEND("a region of 64 GiB costs only what is touched of it") {
  if (!permitted<T>()) return;
  constexpr std::uint64_t kSize = std::uint64_t{64} << 30;
  Fixture f(T::kChoice, kSize);
  for (const std::uint64_t at : {std::uint64_t{0}, kSize / 3, kSize - 1})
    CHECK(f.memory[at] == byte_at(kBase + at));
  CHECK(f.source->fetches == 3);
}

FOR_EACH_BACKEND(
    "after request_shutdown the server ends at its next poll boundary, and no absent page reads as zeroes") {
  if (!permitted<T>()) return;
  Fixture f(T::kChoice);
  CHECK(f.memory[0] == byte_at(kBase));
  f.pager->request_shutdown();
  f.server->join();
  CHECK(f.memory[1] == byte_at(kBase + 1));
  CHECK_FALSE(CatchFaults::read(f.memory + 8 * kPage));
}

FOR_EACH_BACKEND(
    "a page server behind a Unix socket feeds the memory; a connection lost in mid-page costs no page") {
  if (!permitted<T>()) return;
  sim::Machine machine;
  CatchFaults faults;
  TemporaryFolder folder;
  PageServer page_server(folder.path("socket"),
                         PageServer::cut_off_first(100, [](std::uint64_t ipa, std::size_t size) {
                           std::vector<std::byte> bytes(size);
                           for (std::size_t i = 0; i < size; ++i) bytes[i] = byte_at(ipa + i);
                           return bytes;
                         }));
  auto pager = PostcopyPager::create(page_server_source(page_server.path(), 10s), quick()).value();
  auto server = FaultServer::start(pager->handle(), kBase, 16 * kPage, T::kChoice).value();
  for (std::uint64_t page = 0; page < 16; ++page) {
    const std::uint64_t at = page * kPage + page;
    CHECK(eventually([&] { return CatchFaults::read(server->memory() + at) == byte_at(kBase + at); }));
  }
  CHECK(pager->stats().source_errors == 1);
  CHECK(page_server.connections() == 2);
}

FOR_EACH_BACKEND("a server that never answers costs the toucher its patience and not its life") {
  if (!permitted<T>()) return;
  sim::Machine machine;
  CatchFaults faults;
  TemporaryFolder folder;
  PageServer page_server(folder.path("socket"), PageServer::silent());
  auto pager = PostcopyPager::create(page_server_source(page_server.path(), 30ms), quick()).value();
  auto server = FaultServer::start(pager->handle(), kBase, kPage, T::kChoice).value();
  CHECK_FALSE(CatchFaults::read(server->memory()));
  CHECK(server->fetch_page(kBase).error() == PagerError::source(SourceError::TimedOut));
}

FOR_EACH_BACKEND("a region that is not page-aligned or overlaps another is refused with a reason") {
  if (!permitted<T>()) return;
  Fixture f(T::kChoice);
  CHECK(FaultServer::start(f.pager->handle(), kBase + 1, kPage, T::kChoice).error().find("aligned") !=
        std::string::npos);
  CHECK(FaultServer::start(f.pager->handle(), kBase, kPage, T::kChoice).error().find("register") !=
        std::string::npos);
}

TEST_CASE("where userfaultfd is not permitted, the automatic choice falls back to signals and says so once") {
  int report[2];
  REQUIRE(pipe(report) == 0);
  std::fflush(nullptr);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    dup2(report[1], STDERR_FILENO);
    // A seccomp filter makes userfaultfd(2) fail with EPERM, as a locked-down host does.
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{sizeof program / sizeof program[0], program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
      _exit(2);
    bool right = true;
    for (int round = 0; round < 2; ++round) {
      Fixture f(BackendChoice::Automatic);
      right = right && f.server->backend() == Backend::Signal && f.memory[7] == byte_at(kBase + 7);
    }
    _exit(right ? 0 : 1);
  }
  close(report[1]);
  std::string said;
  char buffer[256];
  for (ssize_t count; (count = read(report[0], buffer, sizeof buffer)) > 0;)
    said.append(buffer, static_cast<std::size_t>(count));
  close(report[0]);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(said.find("userfaultfd is not permitted") != std::string::npos);
  CHECK(said.find("userfaultfd", said.find('\n')) == std::string::npos);
}

TEST_SUITE_END();
