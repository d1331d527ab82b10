#pragma once
// Addresses that the linker script defines. Only the addresses of these objects mean anything.

#include <cstdint>

extern "C" {
extern const char image_start[], rodata_start[], data_start[], bss_end[], symbols_start[], image_end[];
extern const char boot_stack_guard[], boot_stack_top[];
}

namespace faultline {
inline std::uint64_t address_of(const void* object) { return reinterpret_cast<std::uintptr_t>(object); }
}  // namespace faultline
