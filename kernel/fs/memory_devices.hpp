#pragma once
// /dev/null, zero, full, random, urandom.

#include "kernel/lib/result.hpp"

namespace faultline {

/// Registers them (devfs.hpp). Error: OutOfMemory.
[[nodiscard]] Result<> register_memory_devices();

}  // namespace faultline
