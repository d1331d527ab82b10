#include "test/host/postcopy/fault_server.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>

namespace faultline::host {

std::expected<std::unique_ptr<FaultServer>, std::string> FaultServer::start(PagerHandle pager,
                                                                            std::uint64_t base,
                                                                            std::uint64_t size,
                                                                            BackendChoice choice) {
  if (base % kHostPageSize != 0 || size % kHostPageSize != 0)
    return std::unexpected("the region is not page-aligned");
  if (auto registered = pager->register_region(base, size); !registered) {
    return std::unexpected("cannot register the region: " + std::string(describe(registered.error())));
  }
  if (choice == BackendChoice::Signal) return start_signal_server(std::move(pager), base, size);
  auto server = start_userfault_server(pager, base, size);
  if (server || choice == BackendChoice::Userfault) return server;

  static std::once_flag told;
  std::call_once(told, [&] {
    std::fprintf(stderr, "postcopy: %s; serving faults through SIGSEGV instead\n", server.error().c_str());
  });
  return start_signal_server(std::move(pager), base, size);
}

FaultServer::FaultServer(PagerHandle pager, std::uint64_t base, std::uint64_t size)
    : pager_(std::move(pager)),
      base_(base),
      size_(size),
      installed_(size / kHostPageSize),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

std::expected<void, PagerError> FaultServer::fetch_page(std::uint64_t ipa) {
  if (is_installed(ipa)) return {};
  alignas(kHostPageSize) std::byte page[kHostPageSize];
  const auto bytes = pager_->serve_fault(ipa, kHostPageSize, page);
  if (!bytes) return std::unexpected(bytes.error());

  const std::uint64_t index = (ipa - base_) / kHostPageSize;
  std::lock_guard guard(lock_);
  if (installed_[index]) return {};
  if (!place(memory_ + index * kHostPageSize, *bytes))
    return std::unexpected(PagerError::source(SourceError::Io));
  installed_[index] = true;
  return {};
}

std::expected<void, PagerError> FaultServer::prewarm() {
  if (auto warmed = pager_->prewarm(); !warmed) return warmed;
  for (const std::uint64_t ipa : pager_->config().prewarm) {
    if (ipa < base_ || ipa - base_ >= size_) continue;
    if (auto fetched = fetch_page(ipa); !fetched) return fetched;
  }
  return {};
}

void FaultServer::fail_page(std::uint64_t ipa) {
  const std::uint64_t index = (ipa - base_) / kHostPageSize;
  std::lock_guard guard(lock_);
  if (!installed_[index]) refuse_access(memory_ + index * kHostPageSize);
}

void FaultServer::retry_failed_pages() {
  std::lock_guard guard(lock_);
  allow_retries();
}

bool FaultServer::poll_boundary() {
  const auto now = std::chrono::steady_clock::now();
  if (Duration(now - last_boundary_) < pager_->config().poll_interval) return false;
  last_boundary_ = now;
  return true;
}

bool FaultServer::is_installed(std::uint64_t ipa) {
  if (ipa < base_ || ipa - base_ >= size_) return false;
  std::lock_guard guard(lock_);
  return installed_[(ipa - base_) / kHostPageSize];
}

void FaultServer::join() {
  if (thread_.joinable()) thread_.join();
}

void FaultServer::wake_server() {
  const std::uint64_t one = 1;
  // The write can only fail when the counter is full, and then the server is awake already.
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

bool FaultServer::wait_for_faults(int descriptor) {
  pollfd waiting[] = {{descriptor, POLLIN, 0}, {wake_.get(), POLLIN, 0}};
  poll(waiting, 2, static_cast<int>(pager_->config().poll_interval.in_milliseconds_rounded_up()));
  std::uint64_t ignored;
  if (waiting[1].revents != 0) [[maybe_unused]]
    const ssize_t drained = read(wake_.get(), &ignored, sizeof ignored);
  return (waiting[0].revents & POLLIN) != 0;
}

void FaultServer::stop_thread() {
  stopping_.store(true);
  wake_server();
  join();
}

void FaultServer::seal_absent_pages() {
  std::lock_guard guard(lock_);
  for (std::uint64_t first = 0; first < installed_.size();) {
    if (installed_[first]) {
      ++first;
      continue;
    }
    std::uint64_t last = first + 1;
    while (last < installed_.size() && !installed_[last]) ++last;
    mprotect(memory_ + first * kHostPageSize, (last - first) * kHostPageSize, PROT_NONE);
    first = last;
  }
}

}  // namespace faultline::host
