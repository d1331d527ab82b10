#pragma once
// A device of the board that is reached through registers in physical memory.

#include <cstddef>
#include <cstdint>

#include "kernel/mm/address.hpp"

namespace faultline {

struct MmioDevice {
  Pa base = Pa::checked(0);
  std::size_t size = 0;         // bytes of registers
  std::uint32_t interrupt = 0;  // source number at the PLIC
};

}  // namespace faultline
