#include "kernel/dev/virtio_mmio.hpp"

#include <algorithm>
#include <bit>

#include "kernel/riscv/device_register.hpp"
#include "kernel/riscv/memory_map.hpp"

namespace faultline {
namespace {

// Registers, by byte offset (virtio 1.2, table 4.1; legacy: 4.2.4).
constexpr std::size_t kMagicValue = 0x000, kVersion = 0x004, kDeviceId = 0x008, kDeviceFeatures = 0x010,
                      kDeviceFeaturesSelect = 0x014, kDriverFeatures = 0x020, kDriverFeaturesSelect = 0x024,
                      kQueueSelect = 0x030, kQueueSizeMax = 0x034, kQueueSize = 0x038, kQueueReady = 0x044,
                      kQueueNotify = 0x050, kInterruptStatus = 0x060, kInterruptAcknowledge = 0x064,
                      kStatus = 0x070, kQueueDescriptors = 0x080, kQueueDriver = 0x090, kQueueDevice = 0x0a0,
                      kConfigurationGeneration = 0x0fc;
constexpr std::size_t kLegacyPageSize = 0x028, kLegacyQueueAlign = 0x03c, kLegacyQueuePage = 0x040;

constexpr std::uint32_t kMagic = 0x74726976;  // "virt"
constexpr std::uint32_t kAcknowledge = 1, kDriver = 2, kDriverOk = 4, kFeaturesOk = 8, kFailed = 128;
constexpr std::uint32_t kVersion1Bit = 1;  // VIRTIO_F_VERSION_1 is feature 32: bit 0 of the upper word

}  // namespace

VirtioMmio::VirtioMmio(const MmioDevice& device)
    : registers_(reinterpret_cast<volatile std::uint32_t*>(mmio(device.base))),
      size_(device.size),
      interrupt_(device.interrupt) {}

std::uint32_t VirtioMmio::read(std::size_t offset) const {
  return read_register(registers_ + offset / sizeof(std::uint32_t));
}

void VirtioMmio::write(std::size_t offset, std::uint32_t value) {
  write_register(registers_ + offset / sizeof(std::uint32_t), value);
}

void VirtioMmio::set_status(std::uint32_t bits) { write(kStatus, read(kStatus) | bits); }

VirtioMmio::Kind VirtioMmio::kind() const {
  if (size_ < kConfiguration + sizeof(std::uint64_t) || read(kMagicValue) != kMagic) return Kind::None;
  const std::uint32_t version = read(kVersion);
  if (version != 1 && version != 2) return Kind::None;
  return static_cast<Kind>(read(kDeviceId));
}

Result<std::uint32_t> VirtioMmio::negotiate(std::uint32_t wanted) {
  legacy_ = read(kVersion) == 1;
  stop();
  set_status(kAcknowledge);
  set_status(kDriver);
  write(kDeviceFeaturesSelect, 0);
  const std::uint32_t agreed = read(kDeviceFeatures) & wanted;
  write(kDriverFeaturesSelect, 0);
  write(kDriverFeatures, agreed);
  if (legacy_) {
    write(kLegacyPageSize, kPageSize);
    return agreed;
  }
  write(kDeviceFeaturesSelect, 1);
  const bool version_1 = (read(kDeviceFeatures) & kVersion1Bit) != 0;
  write(kDriverFeaturesSelect, 1);
  write(kDriverFeatures, kVersion1Bit);
  set_status(kFeaturesOk);
  if (!version_1 || (read(kStatus) & kFeaturesOk) == 0) {
    set_status(kFailed);
    return failure(KernelError::NotSupported);
  }
  return agreed;
}

void VirtioMmio::set_address(std::size_t low_register, Pa address) {
  write(low_register, static_cast<std::uint32_t>(address.value()));
  write(low_register + sizeof(std::uint32_t), static_cast<std::uint32_t>(address.value() >> 32));
}

Result<> VirtioMmio::set_up_queue(Virtqueue& queue, std::uint16_t least) {
  write(kQueueSelect, 0);
  const bool in_use = legacy_ ? read(kLegacyQueuePage) != 0 : read(kQueueReady) != 0;
  const std::uint32_t most = std::min<std::uint32_t>(read(kQueueSizeMax), Virtqueue::kMaxSize);
  if (in_use || most < least) {
    set_status(kFailed);
    return failure(KernelError::NotSupported);
  }
  const auto size = static_cast<std::uint16_t>(std::bit_floor(most));
  TRY(queue.allocate(size));
  write(kQueueSize, size);
  if (legacy_) {
    write(kLegacyQueueAlign, kPageSize);
    write(kLegacyQueuePage, static_cast<std::uint32_t>(queue.descriptors_address().page_number()));
  } else {
    set_address(kQueueDescriptors, queue.descriptors_address());
    set_address(kQueueDriver, queue.available_address());
    set_address(kQueueDevice, queue.used_address());
    write(kQueueReady, 1);
  }
  return {};
}

void VirtioMmio::start() { set_status(kDriverOk); }
void VirtioMmio::notify() { write(kQueueNotify, 0); }

bool VirtioMmio::acknowledge_interrupt() {
  const std::uint32_t reasons = read(kInterruptStatus);
  if (reasons == 0) return false;
  write(kInterruptAcknowledge, reasons);  // before what the device reports in memory is read
  return true;
}

void VirtioMmio::stop() {
  write(kStatus, 0);
  (void)read(kStatus);  // the reset is done when it reads 0, which these devices do at once
}

std::uint64_t VirtioMmio::configuration_u64(std::size_t offset) const {
  std::uint64_t value = 0;
  // The device may change the field between two reads; newer ones count their changes. A device that never
  // stops changing it gets what was read last.
  for (int attempt = 0; attempt < 16; ++attempt) {
    const std::uint32_t before = legacy_ ? 0 : read(kConfigurationGeneration);
    value = read(kConfiguration + offset) | std::uint64_t{read(kConfiguration + offset + 4)} << 32;
    if (legacy_ || read(kConfigurationGeneration) == before) break;
  }
  return value;
}

}  // namespace faultline
