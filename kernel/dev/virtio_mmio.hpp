#pragma once
// A virtio device behind memory-mapped registers (virtio 1.2, section 4.2), of the current kind (version 2)
// or the one before it (version 1, "legacy", section 4.2.4).

#include <cstddef>
#include <cstdint>

#include "kernel/dev/virtqueue.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/riscv/mmio_device.hpp"

namespace faultline {

class VirtioMmio {
 public:
  enum class Kind : std::uint32_t { None = 0, Network = 1, Block = 2, Console = 3, Entropy = 4 };

  explicit VirtioMmio(const MmioDevice& device);

  /// What is plugged into the slot; None when nothing is, or nothing that this driver speaks to.
  Kind kind() const;
  const InterruptSource& interrupt() const { return interrupt_; }

  /// Resets the device and agrees on those of the `wanted` features (bits 0-31) that it offers; returns them.
  /// Error: NotSupported when the two do not come together.
  [[nodiscard]] Result<std::uint32_t> negotiate(std::uint32_t wanted);
  /// Gives queue 0 its memory. Errors: NotSupported when the device has fewer than `least` descriptors for
  /// it.
  [[nodiscard]] Result<> set_up_queue(Virtqueue& queue, std::uint16_t least);
  /// The device may begin.
  void start();
  /// Tells the device that queue 0 holds something new.
  void notify();
  /// Acknowledges the device's interrupt. False when it did not ask for one.
  bool acknowledge_interrupt();
  /// Stops the device for good: afterwards it touches no memory any more.
  void stop();

  /// The field at byte `offset` of the device's own configuration; eight bytes are read as one value.
  std::uint32_t configuration_u32(std::size_t offset) const { return read(kConfiguration + offset); }
  std::uint64_t configuration_u64(std::size_t offset) const;

 private:
  static constexpr std::size_t kConfiguration = 0x100;  // offset of the device's own registers
  std::uint32_t read(std::size_t offset) const;
  void write(std::size_t offset, std::uint32_t value);
  void set_address(std::size_t low_register, Pa address);
  void set_status(std::uint32_t bits);

  volatile std::uint32_t* registers_;
  std::size_t size_;
  InterruptSource interrupt_;
  bool legacy_ = false;
};

}  // namespace faultline
