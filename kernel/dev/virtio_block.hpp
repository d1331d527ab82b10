#pragma once
// A virtio disk (virtio 1.2, section 5.2).

#include <atomic>
#include <optional>
#include <string_view>

#include "kernel/dev/block_device.hpp"
#include "kernel/dev/clock.hpp"
#include "kernel/dev/plic.hpp"
#include "kernel/dev/request_parts.hpp"
#include "kernel/dev/virtio_mmio.hpp"
#include "kernel/lib/spin_lock.hpp"

namespace faultline {

/// Requests go to the device as long as it has descriptors; who waits for room or for an answer sleeps, and
/// the device's interrupt wakes it. A device that breaks the rules, or does not answer any more, is stopped;
/// all requests fail from then on.
class VirtioBlock final : public BlockDevice, public InterruptHandler {
 public:
  /// Disks are named by a letter, of which there are this many.
  static constexpr std::size_t kMostNames = 26;
  VirtioBlock(const MmioDevice& device, std::size_t index)
      : transport_(device), name_{'v', 'd', static_cast<char>('a' + index), '\0'} {}

  /// Errors: NotSupported, OutOfMemory.
  [[nodiscard]] Result<> start();

  std::uint64_t sectors() const override { return sectors_; }
  bool read_only() const override { return read_only_; }
  std::size_t block_bytes() const override { return block_bytes_; }
  const char* name() const override { return name_; }
  void submit(BlockRequest& request) override;
  Result<> wait(BlockRequest& request) override;
  void on_interrupt() override;

 private:
  struct Header {
    std::uint32_t kind;
    std::uint32_t reserved;
    std::uint64_t sector;
  };
  /// Looks from time to time, as long as there are requests, whether the disk still answers.
  class Watchdog final : public Timer {
   public:
    explicit Watchdog(VirtioBlock& disk) : disk_(disk) {}

   private:
    void expired() override;
    VirtioBlock& disk_;
  };
  // What the device reads and writes beside the data, one of each for each possible head of a chain.
  struct Shared {
    Header headers[Virtqueue::kMaxSize];
    volatile std::uint8_t status[Virtqueue::kMaxSize];
  };
  // A request's header and status stand beside its pieces.
  static constexpr std::uint16_t kExtraDescriptors = 2, kLeastDescriptors = kExtraDescriptors + 1,
                                 kMostDescriptors = BlockRequest::kMaxPieces + kExtraDescriptors;

  bool try_start(BlockRequest& request);
  Result<> transfer_in_parts(const BlockRequest& request);
  void watch();
  Ticks begin_watch(const SpinGuard& proof);
  std::optional<Ticks> look_for_silence();
  void give_up(List<BlockRequest>& finished, std::string_view why);
  Result<> outcome_of(std::uint16_t head) const;
  void complete_all(List<BlockRequest>& finished);
  Shared& shared() const { return *reinterpret_cast<Shared*>(platform::frame_bytes(*shared_)); }

  VirtioMmio transport_;
  const char name_[4];
  std::uint64_t sectors_ = 0;
  std::size_t block_bytes_ = kSectorSize;
  bool read_only_ = false;
  bool can_flush_ = false;
  RequestLimits limits_;
  std::uint64_t timeout_ = 0;  // nanoseconds that the disk may answer nobody
  std::optional<Pa> shared_;

  SpinLock lock_{LockRank::Device};  // covers what follows, and the queue
  Virtqueue queue_;
  bool broken_ = false;
  BlockRequest* in_flight_[Virtqueue::kMaxSize] = {};  // by the head of its chain
  std::atomic<std::uint32_t> completions_ = 0;         // raised when descriptors have become free
  bool watching_ = false;                              // the watchdog's timer runs, or is about to
  std::uint64_t answers_ = 0, answers_seen_ = 0;       // requests answered; that number when its time began
  std::uint64_t watched_since_ = 0;                    // by the board's clock
  Watchdog watchdog_{*this};
};

}  // namespace faultline
