#pragma once
// A device of the board that is reached through registers in physical memory.

#include <cstddef>
#include <cstdint>

#include "kernel/mm/address.hpp"

namespace faultline {

/// Which input of which interrupt controller (its phandle; 0: the device tree does not say).
struct InterruptSource {
  std::uint32_t controller = 0;
  std::uint32_t number = 0;
};

struct MmioDevice {
  Pa base = Pa::checked(0);
  std::size_t size = 0;  // bytes of registers
  InterruptSource interrupt;
};

}  // namespace faultline
