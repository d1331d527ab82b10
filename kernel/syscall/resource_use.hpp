#pragma once
// What processes have used, as getrusage and wait4 report it.

#include "kernel/proc/process.hpp"
#include "kernel/syscall/linux_abi.hpp"

namespace faultline::system_call {

inline abi::ResourceUse to_abi(const ResourceUsage& usage) {
  abi::ResourceUse use = {};
  use.user_time = abi::to_time_val(Ticks(usage.user_ticks));
  use.system_time = abi::to_time_val(Ticks(usage.system_ticks));
  use.peak_resident_kilobytes = static_cast<std::int64_t>(usage.peak_resident_pages * (kPageSize / 1024));
  use.minor_faults = static_cast<std::int64_t>(usage.minor_faults);
  use.major_faults = static_cast<std::int64_t>(usage.major_faults);
  return use;
}

}  // namespace faultline::system_call
