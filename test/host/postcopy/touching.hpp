#pragma once
// What the cases of the fault servers start from: a region of this process's own memory, and ways to touch it
// that survive SIGSEGV.

#include <doctest/doctest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csetjmp>
#include <csignal>
#include <optional>

#include "test/host/machine/machine.hpp"
#include "test/host/postcopy/fault_server.hpp"

namespace faultline::host {

inline constexpr std::uint64_t kPage = kHostPageSize;
inline constexpr std::uint64_t kBase = 0x8000'0000;

inline std::byte byte_at(std::uint64_t ipa) {
  return static_cast<std::byte>(1 + (ipa / 7 + (ipa >> 12)) % 255);
}

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
inline PagerConfig quick(std::initializer_list<std::uint64_t> prewarm = {}) {
  PagerConfig config;
  config.poll_interval = std::chrono::milliseconds(5);
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
  for (const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
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

}  // namespace faultline::host

TYPE_TO_STRING(faultline::host::UserfaultBackend);
TYPE_TO_STRING(faultline::host::SignalBackend);

#define FOR_EACH_BACKEND(name) \
  TEST_CASE_TEMPLATE(name, T, faultline::host::UserfaultBackend, faultline::host::SignalBackend)
