// Faults by userfaultfd(2). The kernel suspends a thread that touches an absent page until UFFDIO_COPY
// installs it.
//
// A page whose source failed must not stay suspended for ever, nor be read as zeroes: it is made inaccessible
// and its waiters are woken, so that they get SIGSEGV. At the next poll boundary it becomes accessible again;
// a thread that comes so late that it finds it accessible simply faults anew.

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "test/host/postcopy/fault_server.hpp"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

namespace faultline::host {

namespace {

std::unexpected<std::string> refuse(const char* what) {
  return std::unexpected(std::string(what) + ": " + std::strerror(errno));
}

std::expected<FileDescriptor, std::string> open_userfaultfd() {
  FileDescriptor descriptor(
      static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY)));
  if (!descriptor.valid()) return refuse("userfaultfd is not permitted");
  uffdio_api api{.api = UFFD_API, .features = 0, .ioctls = 0};
  if (ioctl(descriptor.get(), UFFDIO_API, &api) != 0) return refuse("userfaultfd speaks another version");
  return descriptor;
}

class UserfaultServer final : public FaultServer {
 public:
  UserfaultServer(PagerHandle pager, std::uint64_t base, std::uint64_t size, FileDescriptor userfault)
      : FaultServer(std::move(pager), base, size), userfault_(std::move(userfault)) {}

  ~UserfaultServer() override {
    stop_thread();
    if (memory_ != nullptr) munmap(memory_, size_);
  }

  std::expected<void, std::string> begin() {
    void* memory =
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return refuse("cannot map the region");
    memory_ = static_cast<std::byte*>(memory);
    // A huge page would make 512 pages present at one fault.
    madvise(memory, size_, MADV_NOHUGEPAGE);
    uffdio_register registration{};
    registration.range = {reinterpret_cast<std::uint64_t>(memory), size_};
    registration.mode = UFFDIO_REGISTER_MODE_MISSING;
    if (ioctl(userfault_.get(), UFFDIO_REGISTER, &registration) != 0)
      return refuse("cannot watch the region");
    thread_ = std::thread([this] { serve(); });
    return {};
  }

  Backend backend() const override { return Backend::Userfault; }

 protected:
  bool place(std::byte* target, std::span<const std::byte> bytes) override {
    uffdio_copy copy{};
    copy.dst = reinterpret_cast<std::uint64_t>(target);
    copy.src = reinterpret_cast<std::uint64_t>(bytes.data());
    copy.len = bytes.size();
    while (ioctl(userfault_.get(), UFFDIO_COPY, &copy) != 0) {
      if (copy.copy != -EAGAIN) return false;
      copy.copy = 0;
    }
    if (std::erase(failed_pages_, target) != 0) mprotect(target, kHostPageSize, PROT_READ | PROT_WRITE);
    return true;
  }

  void refuse_access(std::byte* page) override {
    mprotect(page, kHostPageSize, PROT_NONE);
    failed_pages_.push_back(page);
  }

  void allow_retries() override {
    for (std::byte* page : failed_pages_) mprotect(page, kHostPageSize, PROT_READ | PROT_WRITE);
    failed_pages_.clear();
  }

 private:
  void serve() {
    while (!should_stop()) {
      if (wait_for_faults(userfault_.get())) answer_faults();
      if (poll_boundary()) retry_failed_pages();
    }
    // Once the descriptor no longer watches the region, the kernel would fill absent pages with zeroes.
    seal_absent_pages();
    uffdio_range range{reinterpret_cast<std::uint64_t>(memory_), size_};
    ioctl(userfault_.get(), UFFDIO_UNREGISTER, &range);
  }

  void answer_faults() {
    uffd_msg message;
    while (read(userfault_.get(), &message, sizeof message) == static_cast<ssize_t>(sizeof message)) {
      if (message.event != UFFD_EVENT_PAGEFAULT) continue;
      auto* page = reinterpret_cast<std::byte*>(message.arg.pagefault.address & ~(kHostPageSize - 1));
      if (!fetch_page(to_ipa(page))) fail_page(to_ipa(page));
      uffdio_range range{reinterpret_cast<std::uint64_t>(page), kHostPageSize};
      ioctl(userfault_.get(), UFFDIO_WAKE, &range);
    }
  }

  FileDescriptor userfault_;
  std::vector<std::byte*> failed_pages_;  // under the server's lock
};

}  // namespace

std::expected<std::unique_ptr<FaultServer>, std::string> start_userfault_server(PagerHandle pager,
                                                                                std::uint64_t base,
                                                                                std::uint64_t size) {
  auto userfault = open_userfaultfd();
  if (!userfault) return std::unexpected(userfault.error());
  auto server = std::make_unique<UserfaultServer>(std::move(pager), base, size, std::move(*userfault));
  if (auto begun = server->begin(); !begun) return std::unexpected(begun.error());
  return server;
}

}  // namespace faultline::host
