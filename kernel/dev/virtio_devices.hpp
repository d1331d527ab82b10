#pragma once
// Finds the virtio devices of the board.

#include <span>

#include "kernel/dev/block_device.hpp"
#include "kernel/riscv/mmio_device.hpp"

namespace faultline {

/// Probes the slots: takes all disks and the first source of randomness, and prints one line for each device
/// that does not work. The interrupt controller is ready. Requests to a disk sleep, so they come from
/// threads. Returns the disks, in the order of the slots; they live forever.
std::span<BlockDevice* const> start_virtio_devices(std::span<const MmioDevice> slots);

}  // namespace faultline
