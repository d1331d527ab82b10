#pragma once
// In the place of the kernel's header: the registers that timers use, of machines whose time the tests set.

#include <array>
#include <cstdint>

#include "kernel/mm/hart_local.hpp"

namespace faultline::csr {

inline std::uint64_t time = 0;
inline HartLocal<std::uint64_t> compare;

inline std::uint64_t read_time() { return time; }
inline void write_stimecmp(std::uint64_t deadline) { compare[platform::current_hart()] = deadline; }
inline bool stimecmp_works() { return true; }

}  // namespace faultline::csr
