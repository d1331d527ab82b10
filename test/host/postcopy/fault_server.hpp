#pragma once
// Postcopy on the host: real memory whose pages come from a PostcopyPager when the program touches them.
//
// A fault server owns the host memory of one region and a thread that serves its faults. Two back ends catch
// them:
//
//   userfaultfd   the host kernel suspends the thread and tells the server through a descriptor
//   signal        the page is inaccessible; the SIGSEGV handler hands the fault to the server and waits
//
// A page is in one of two states, absent or installed, and goes from the first to the second exactly once,
// under the server's lock: two threads that fault on one page, or a fault and a fetch_page, never overwrite
// what the program has written since. When a source fails, the page stays absent, the thread that touched it
// gets SIGSEGV, and a later touch tries again; fetch_page() gives the reason as a value.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernel/mm/postcopy/postcopy_pager.hpp"
#include "test/host/postcopy/posix_sources.hpp"

namespace faultline::host {

inline constexpr std::uint64_t kHostPageSize = 4096;

enum class Backend : std::uint8_t { Userfault, Signal };

/// Which back end to use. `Automatic` takes userfaultfd where the host permits it and signals elsewhere.
enum class BackendChoice : std::uint8_t { Automatic, Userfault, Signal };

class FaultServer {
 public:
  /// Maps memory for the region [base, base + size), which must be page-aligned and is registered with the
  /// pager here, and starts serving it. The text of the error says what failed. With `Automatic`, the first
  /// fallback from userfaultfd to signals in the process is reported by one line on standard error.
  static std::expected<std::unique_ptr<FaultServer>, std::string> start(PagerHandle pager, std::uint64_t base,
                                                                        std::uint64_t size,
                                                                        BackendChoice choice);

  FaultServer(const FaultServer&) = delete;
  FaultServer& operator=(const FaultServer&) = delete;
  /// Ends the thread, if it has not ended by the pager's shutdown, and unmaps the memory.
  virtual ~FaultServer() = default;

  virtual Backend backend() const = 0;

  /// The region's memory: base + i of the region is memory()[i].
  std::byte* memory() const { return memory_; }

  /// Brings the page that holds `ipa` into memory without touching it; nothing to do when it is there
  /// already.
  std::expected<void, PagerError> fetch_page(std::uint64_t ipa);

  /// Fetches the pages of PagerConfig::prewarm and installs those that lie in this region.
  std::expected<void, PagerError> prewarm();

  bool is_installed(std::uint64_t ipa);

  /// Waits until the thread has ended after PostcopyPager::request_shutdown().
  void join();

 protected:
  FaultServer(PagerHandle pager, std::uint64_t base, std::uint64_t size);

  /// Makes `bytes` appear at `target` in one step, as seen by every thread. Called once a page, under the
  /// lock.
  virtual bool place(std::byte* target, std::span<const std::byte> bytes) = 0;

  /// Makes touching an absent page a SIGSEGV, or undoes that for all such pages. Called under the lock.
  virtual void refuse_access(std::byte*) {}
  virtual void allow_retries() {}

  bool covers(const std::byte* address) const { return address >= memory_ && address < memory_ + size_; }
  std::uint64_t to_ipa(const std::byte* address) const {
    return base_ + static_cast<std::uint64_t>(address - memory_);
  }

  /// Wakes the server thread out of its wait; it then looks at `stopping_` and at the pager's shutdown
  /// request.
  void wake_server();
  /// After a fetch for a suspended thread failed: refuses access to the page unless someone installed it
  /// meanwhile.
  void fail_page(std::uint64_t ipa);
  void retry_failed_pages();
  /// True once in each poll interval.
  bool poll_boundary();
  /// Waits for input on `descriptor` for at most the poll interval. True when there is some.
  bool wait_for_faults(int descriptor);
  bool should_stop() const { return stopping_.load() || pager_->shutdown_requested(); }
  /// Called by the destructors of the back ends before their own members go.
  void stop_thread();
  /// Makes every absent page inaccessible, so that it can never be read as zeroes once nobody serves it.
  void seal_absent_pages();

  PagerHandle pager_;
  const std::uint64_t base_, size_;
  std::byte* memory_ = nullptr;
  std::thread thread_;

 private:
  std::mutex lock_;
  std::vector<bool> installed_;  // one entry a page
  FileDescriptor wake_;
  std::atomic<bool> stopping_ = false;
  std::chrono::steady_clock::time_point last_boundary_ =
      std::chrono::steady_clock::now();  // server thread only
};

/// The two back ends; `start` chooses. Each returns null with a reason when the host does not permit it.
std::expected<std::unique_ptr<FaultServer>, std::string> start_userfault_server(PagerHandle pager,
                                                                                std::uint64_t base,
                                                                                std::uint64_t size);
std::expected<std::unique_ptr<FaultServer>, std::string> start_signal_server(PagerHandle pager,
                                                                             std::uint64_t base,
                                                                             std::uint64_t size);

}  // namespace faultline::host
