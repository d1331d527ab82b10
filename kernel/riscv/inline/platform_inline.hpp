#pragma once
// The short functions of the memory core's seam (kernel/mm/platform.hpp), inline: the kernel is built with
// this directory on its include path.

#include "kernel/riscv/csr.hpp"
#include "kernel/riscv/hart.hpp"
#include "kernel/riscv/memory_map.hpp"

namespace faultline::platform {

/// The FrameInfo of the frame with page number 0, if there were one: managed memory begins further up. Set by
/// memory::initialize.
extern std::uint64_t frame_info_origin;

inline HartId current_hart() noexcept { return Hart::current().id; }

inline std::byte* frame_bytes(Pa frame) noexcept { return mmio(frame); }

inline FrameInfo& frame_info(Pa frame) noexcept {
  return *reinterpret_cast<FrameInfo*>(frame_info_origin + frame.page_number() * sizeof(FrameInfo));
}

inline void fence_local(const FenceScope& scope) noexcept {
  const auto asid = static_cast<std::uint64_t>(scope.asid);
  if (!scope.range) {
    csr::fence_translations(asid);
    return;
  }
  for (Va page = scope.range->start(); page < scope.range->end(); page = page + kPageSize) {
    csr::fence_translations(page.value(), asid);
  }
}

}  // namespace faultline::platform
