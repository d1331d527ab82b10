// What only the signal back end does: its handler among those of the process.

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cstdio>

#include "test/host/postcopy/touching.hpp"

using namespace faultline;
using namespace faultline::host;

TEST_SUITE_BEGIN("postcopy: the signal back end");

TEST_CASE("signal: a fault outside every region goes to the previous handler and is counted") {
  Fixture f(BackendChoice::Signal);
  void* guard = mmap(nullptr, kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(guard != MAP_FAILED);
  CHECK_FALSE(CatchFaults::read(static_cast<std::byte*>(guard) + 12));
  CHECK(CatchFaults::caught() == static_cast<std::byte*>(guard) + 12);
  CHECK_FALSE(CatchFaults::read(static_cast<std::byte*>(guard)));
  CHECK(f.pager->stats().forwarded == 2);
  CHECK(f.pager->stats().faults == 0);
  munmap(guard, kPage);
}

TEST_CASE("signal: a previous handler that takes the signal's number alone is called as well") {
  static std::atomic<int> got = 0;
  static sigjmp_buf back;
  const CatchFaults restored;  // at the end, whatever happens below
  struct sigaction plain{};
  plain.sa_handler = [](int signal) {
    got = signal;
    siglongjmp(back, 1);
  };
  plain.sa_flags = SA_NODEFER;
  REQUIRE(sigaction(SIGSEGV, &plain, nullptr) == 0);
  sim::Machine machine;
  auto pager = PostcopyPager::create(make_ref<PatternSource>().value(), quick()).value();
  auto server = FaultServer::start(pager->handle(), kBase, kPage, BackendChoice::Signal).value();
  if (sigsetjmp(back, 1) == 0) static_cast<void>(*reinterpret_cast<volatile char*>(std::uintptr_t{16}));
  CHECK(got == SIGSEGV);
  CHECK(pager->stats().forwarded == 1);
  CHECK(server->memory()[3] == byte_at(kBase + 3));
}

TEST_CASE("signal: a fault outside every region ends a process that had no handler, as it would have") {
  std::fflush(nullptr);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    sim::Machine machine;
    auto pager = PostcopyPager::create(make_ref<PatternSource>().value(), quick()).value();
    auto server = FaultServer::start(pager->handle(), kBase, kPage, BackendChoice::Signal).value();
    if (server->memory()[3] != byte_at(kBase + 3)) _exit(1);
    static_cast<void>(*reinterpret_cast<volatile char*>(std::uintptr_t{16}));
    _exit(2);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGSEGV);
}

TEST_CASE("signal: a handler that replaces ours is replaced at the next poll and becomes the previous one") {
  Fixture f(BackendChoice::Signal);
  const CatchFaults replacement;
  CHECK(eventually([&] { return f.pager->stats().reinstalls == 1; }));
  CHECK(f.memory[kPage] == byte_at(kBase + kPage));
  CHECK_FALSE(CatchFaults::read(reinterpret_cast<std::byte*>(std::uintptr_t{16})));
  CHECK(f.pager->stats().forwarded == 1);
  // The replacement goes out of scope first and puts our handler back, which is in place already or at the
  // next poll.
}

TEST_CASE("signal: our handler comes back at each poll, however often it is replaced") {
  Fixture f(BackendChoice::Signal);
  for (std::uint64_t round = 1; round <= 20; ++round) {
    const CatchFaults replacement;
    REQUIRE(eventually([&] { return f.pager->stats().reinstalls == round; }));
    CHECK(f.memory[round * kPage] == byte_at(kBase + round * kPage));
    CHECK_FALSE(CatchFaults::read(reinterpret_cast<std::byte*>(std::uintptr_t{16})));
    CHECK(f.pager->stats().forwarded == round);
  }
}

TEST_CASE("signal: the last server that ends gives the previous handler its place back") {
  const CatchFaults before;
  {
    Fixture f(BackendChoice::Signal);
    CHECK(f.memory[0] == byte_at(kBase));
  }
  CHECK_FALSE(CatchFaults::read(reinterpret_cast<std::byte*>(std::uintptr_t{16})));
}

TEST_CASE("signal: several regions are served side by side") {
  Fixture f(BackendChoice::Signal);
  auto second =
      FaultServer::start(f.pager->handle(), kBase + 0x1000'0000, 4 * kPage, BackendChoice::Signal).value();
  CHECK(second->memory()[kPage] == byte_at(kBase + 0x1000'0000 + kPage));
  CHECK(f.memory[kPage] == byte_at(kBase + kPage));
  second.reset();
  CHECK(f.memory[2 * kPage] == byte_at(kBase + 2 * kPage));
}

TEST_SUITE_END();
