#pragma once
// A virtio source of randomness (virtio 1.2, section 5.4): feeds the generator of random.hpp.

#include <optional>

#include "kernel/dev/plic.hpp"
#include "kernel/dev/virtio_mmio.hpp"
#include "kernel/lib/spin_lock.hpp"

namespace faultline {

class VirtioRandom final : public InterruptHandler {
 public:
  explicit VirtioRandom(const MmioDevice& device) : transport_(device) {}

  /// Starts the device and asks for the first bytes. Errors: NotSupported, OutOfMemory.
  [[nodiscard]] Result<> start();

  /// Asks for more bytes, unless that has been done and they have not come.
  void request();

  void on_interrupt() override;

 private:
  static constexpr std::uint32_t kRequestBytes = 64;
  Result<> start_request();

  VirtioMmio transport_;
  std::optional<Pa> memory_;
  SpinLock lock_{LockRank::Device};
  Virtqueue queue_;
  bool requested_ = false;
  bool broken_ = false;
};

}  // namespace faultline
