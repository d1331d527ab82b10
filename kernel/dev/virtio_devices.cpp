#include "kernel/dev/virtio_devices.hpp"

#include "kernel/dev/console.hpp"
#include "kernel/dev/random.hpp"
#include "kernel/dev/virtio_block.hpp"
#include "kernel/dev/virtio_random.hpp"
#include "kernel/lib/heap.hpp"

namespace faultline {
namespace {

// Drivers live until the power goes off. One line says why a device is left alone; its memory is kept then,
// for a device that has been told of it.
template <class Driver, class... Arguments>
Driver* start(const MmioDevice& slot, const char* what, Arguments... arguments) {
  Result<Box<Driver>> driver = make_box<Driver>(slot, arguments...);
  if (!driver) return nullptr;
  Driver* started = driver->release();
  if (const Result<> outcome = started->start(); !outcome) {
    print("faultline: {} at {:#x} does not work: {}\n", what, slot.base.value(), describe(outcome.error()));
    return nullptr;
  }
  return started;
}

VirtioRandom* randomness = nullptr;

constexpr std::size_t kMostDisks = VirtioBlock::kMostNames;
BlockDevice* disks[kMostDisks] = {};
std::size_t disk_count = 0;

}  // namespace

std::span<BlockDevice* const> start_virtio_devices(std::span<const MmioDevice> slots) {
  for (const MmioDevice& slot : slots) {
    switch (VirtioMmio(slot).kind()) {
      case VirtioMmio::Kind::Block:
        if (disk_count == kMostDisks) break;
        if (VirtioBlock* disk = start<VirtioBlock>(slot, "disk", disk_count)) disks[disk_count++] = disk;
        break;
      case VirtioMmio::Kind::Entropy:
        if (randomness == nullptr) randomness = start<VirtioRandom>(slot, "source of randomness");
        break;
      default:
        break;
    }
  }
  if (randomness != nullptr) set_entropy_source([] { randomness->request(); });
  return {disks, disk_count};
}

}  // namespace faultline
