// Faults by signal, for hosts without userfaultfd.
//
//   faulting thread                         server thread
//   touches an inaccessible page
//   SIGSEGV handler: puts a Request on its
//     stack, sends its address down a pipe,
//     waits on the request's state     ───► fetches the page, places it, sets the state, wakes
//   returns; the access runs again
//
// Everything the handler calls is async-signal-safe: write, the futex system call, atomics, and
// PostcopyPager::contains_ipa. The region is a shared mapping of a memory file without access; the server
// writes through a second mapping of the same file and only then makes the page accessible, so no thread sees
// half a page.

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>

#include "test/host/postcopy/fault_handler.hpp"
#include "test/host/postcopy/fault_server.hpp"

namespace faultline::host {

namespace {

/// One fault, on the stack of the thread that waits for it.
struct Request {
  enum State : std::uint32_t { Pending, Served, Failed };
  std::uint64_t ipa;
  std::atomic<std::uint32_t> state = Pending;
};

std::uint32_t* futex_word(std::atomic<std::uint32_t>& word) {
  return reinterpret_cast<std::uint32_t*>(&word);
}

void finish(Request& request, Request::State state) {
  // Once the state is stored the request may be gone: the wake-up uses only its address.
  std::uint32_t* word = futex_word(request.state);
  request.state.store(state, std::memory_order_release);
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

class SignalServer final : public FaultServer, public FaultHandler::Target {
 public:
  SignalServer(PagerHandle pager, std::uint64_t base, std::uint64_t size)
      : FaultServer(std::move(pager), base, size) {}

  ~SignalServer() override {
    if (registered_) FaultHandler::remove(*this);
    stop_thread();
    for (std::byte* mapping : {memory_, alias_}) {
      if (mapping != nullptr) munmap(mapping, size_);
    }
  }

  std::expected<void, std::string> begin() {
    FileDescriptor file(memfd_create("postcopy", MFD_CLOEXEC));
    if (!file.valid() || ftruncate(file.get(), static_cast<off_t>(size_)) != 0)
      return refuse("cannot make memory");
    if (!(memory_ = map(file, PROT_NONE)) || !(alias_ = map(file, PROT_READ | PROT_WRITE))) {
      return refuse("cannot map the region");
    }
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return refuse("cannot make a pipe");
    requests_ = FileDescriptor(ends[0]);
    submissions_ = FileDescriptor(ends[1]);
    fcntl(requests_.get(), F_SETFL, O_NONBLOCK);
    if (!FaultHandler::add(*this)) return std::unexpected("too many regions are served through signals");
    registered_ = true;
    running_.store(true);
    thread_ = std::thread([this] { serve(); });
    return {};
  }

  Backend backend() const override { return Backend::Signal; }

  // FaultHandler::Target, in the faulting thread's signal handler.
  bool takes(const std::byte* address) const override {
    return covers(address) && pager_->contains_ipa(to_ipa(address));
  }

  bool resolve(const std::byte* address) override {
    Request request{to_ipa(address)};
    Request* const message = &request;
    if (!running_.load() || write(submissions_.get(), &message, sizeof message) != sizeof message)
      return false;
    while (request.state.load(std::memory_order_acquire) == Request::Pending) {
      // The timeout covers a server that ended between our look at running_ and our write: nobody will
      // answer, and since it has ended nobody holds the request's address.
      if (ended_.load(std::memory_order_acquire)) return false;
      const timespec patience{0, 100'000'000};
      syscall(SYS_futex, futex_word(request.state), FUTEX_WAIT_PRIVATE, Request::Pending, &patience, nullptr,
              0);
    }
    return request.state.load(std::memory_order_acquire) == Request::Served;
  }

  void forwarded() override { pager_->count_forwarded(); }

 protected:
  bool place(std::byte* target, std::span<const std::byte> bytes) override {
    std::memcpy(alias_ + (target - memory_), bytes.data(), bytes.size());
    return mprotect(target, kHostPageSize, PROT_READ | PROT_WRITE) == 0;
  }

 private:
  static std::unexpected<std::string> refuse(const char* what) {
    return std::unexpected(std::string(what) + ": " + std::strerror(errno));
  }

  std::byte* map(const FileDescriptor& file, int protection) const {
    void* memory = mmap(nullptr, size_, protection, MAP_SHARED | MAP_NORESERVE, file.get(), 0);
    return memory == MAP_FAILED ? nullptr : static_cast<std::byte*>(memory);
  }

  void serve() {
    while (!should_stop()) {
      if (wait_for_faults(requests_.get())) answer_faults();
      if (poll_boundary() && FaultHandler::reinstall()) pager_->count_reinstall();
    }
    running_.store(false);
    refuse_remaining();
    ended_.store(true, std::memory_order_release);
  }

  void answer_faults() {
    for (Request* request; read(requests_.get(), &request, sizeof request) == sizeof request;) {
      finish(*request, fetch_page(request->ipa) ? Request::Served : Request::Failed);
    }
  }

  void refuse_remaining() {
    for (Request* request; read(requests_.get(), &request, sizeof request) == sizeof request;) {
      finish(*request, Request::Failed);
    }
  }

  std::byte* alias_ = nullptr;
  FileDescriptor requests_, submissions_;
  bool registered_ = false;
  std::atomic<bool> running_ = false, ended_ = false;
};

}  // namespace

std::expected<std::unique_ptr<FaultServer>, std::string> start_signal_server(PagerHandle pager,
                                                                             std::uint64_t base,
                                                                             std::uint64_t size) {
  auto server = std::make_unique<SignalServer>(std::move(pager), base, size);
  if (auto begun = server->begin(); !begun) return std::unexpected(begun.error());
  return server;
}

}  // namespace faultline::host
