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

#include <csetjmp>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <optional>
#include <vector>

#include "test/host/machine/machine.hpp"
#include "test/host/postcopy/fault_server.hpp"
#include "test/host/postcopy/page_server.hpp"
#include "test/host/postcopy/temporary_folder.hpp"

using namespace faultline;
using namespace faultline::host;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kPage = kHostPageSize;
constexpr std::uint64_t kBase = 0x8000'0000;

std::byte byte_at(std::uint64_t ipa) { return static_cast<std::byte>(1 + (ipa / 7 + (ipa >> 12)) % 255); }

struct PatternSource : PageSource {
  std::expected<void, SourceError> fetch(const PageRequest& request, std::span<std::byte> out) override {
    fetches.fetch_add(1);
    if (failing.load()) return std::unexpected(SourceError::Io);
    for (std::size_t i = 0; i < request.page_size; ++i) out[i] = byte_at(request.ipa + i);
    return {};
  }
  std::atomic<unsigned> fetches = 0;
  std::atomic<bool> failing = false;
};

/// While it lives, SIGSEGV jumps back to the reader that caused it. Installed before a server starts, it is
/// the server's "previous handler".
class CatchFaults {
 public:
  CatchFaults() {
    struct sigaction action{};
    action.sa_sigaction = [](int, siginfo_t* info, void*) {
      if (back_ == nullptr) _exit(99);
      caught_ = static_cast<std::byte*>(info->si_addr);
      siglongjmp(*back_, 1);
    };
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, &before_);
  }
  CatchFaults(const CatchFaults&) = delete;
  CatchFaults& operator=(const CatchFaults&) = delete;
  ~CatchFaults() { sigaction(SIGSEGV, &before_, nullptr); }

  /// The byte at `address`, or nothing if reading it raised SIGSEGV.
  static std::optional<std::byte> read(const std::byte* address) {
    sigjmp_buf back;
    if (sigsetjmp(back, 1) != 0) {
      back_ = nullptr;
      return std::nullopt;
    }
    back_ = &back;
    // The handler runs in this thread between the two fences.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    const std::byte value = *static_cast<const volatile std::byte*>(address);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    back_ = nullptr;
    return value;
  }
  static const std::byte* caught() { return caught_; }

 private:
  static inline thread_local sigjmp_buf* back_ = nullptr;
  static inline thread_local std::byte* caught_ = nullptr;
  struct sigaction before_{};
};

/// Polls often, so that no case waits long for a boundary.
PagerConfig quick(std::initializer_list<std::uint64_t> prewarm = {}) {
  PagerConfig config;
  config.poll_interval = 5ms;
  for (const std::uint64_t ipa : prewarm) REQUIRE(config.prewarm.push_back(ipa));
  return config;
}

struct Fixture {
  explicit Fixture(BackendChoice choice, std::uint64_t size = 64 * kPage,
                   std::initializer_list<std::uint64_t> prewarm = {}) {
    source = make_ref<PatternSource>().value();
    pager = PostcopyPager::create(source, quick(prewarm)).value();
    auto started = FaultServer::start(pager->handle(), kBase, size, choice);
    if (!started) FAIL("cannot start: " << started.error());
    server = std::move(*started);
    memory = server->memory();
  }
  sim::Machine machine;
  CatchFaults faults;
  Ref<PatternSource> source;
  PagerHandle pager;
  std::unique_ptr<FaultServer> server;
  std::byte* memory = nullptr;
};

/// Waits for something another thread will do; fails the case when it takes ten seconds.
template <class Condition>
bool eventually(Condition condition) {
  for (const auto deadline = std::chrono::steady_clock::now() + 10s;
       std::chrono::steady_clock::now() < deadline;) {
    if (condition()) return true;
    std::this_thread::yield();
  }
  return false;
}

struct UserfaultBackend {
  static constexpr BackendChoice kChoice = BackendChoice::Userfault;
  static constexpr Backend kBackend = Backend::Userfault;
};
struct SignalBackend {
  static constexpr BackendChoice kChoice = BackendChoice::Signal;
  static constexpr Backend kBackend = Backend::Signal;
};

/// This host may forbid userfaultfd; then its cases have nothing to run on, and the fallback's case covers
/// that.
template <class T>
bool permitted() {
  if (T::kChoice == BackendChoice::Signal) return true;
  const FileDescriptor probe(static_cast<int>(syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */)));
  if (!probe.valid()) MESSAGE("userfaultfd is not permitted on this host: case not run for it");
  return probe.valid();
}

}  // namespace

TYPE_TO_STRING(UserfaultBackend);
TYPE_TO_STRING(SignalBackend);

#define FOR_EACH_BACKEND(name) TEST_CASE_TEMPLATE(name, T, UserfaultBackend, SignalBackend)

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
