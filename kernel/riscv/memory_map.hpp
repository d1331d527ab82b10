#pragma once
// The kernel half of every address space (Sv39, RISC-V privileged architecture 4.4). Root entries 256 … 511
// are the same in all tables and never change once the first user table exists.
//
//   0xffffffc0_00000000 + pa   all of memory and the devices' registers, read-write, never executable; the
//                              kernel's own text and constants are read-only here as well
//   0xffffffff_40000000        kernel stacks (kernel_stack.hpp)
//   0xffffffff_80200000        the kernel image: text read-execute, constants read-only, data read-write
//
// Nothing is both writable and executable. Leaves are as large as alignment and permission allow, and global.

#include <cstddef>
#include <cstdint>
#include <optional>

#include "kernel/lib/result.hpp"
#include "kernel/mm/address.hpp"

namespace faultline {

inline constexpr std::uint64_t kDirectMap = 0xffff'ffc0'0000'0000;
/// Physical memory beyond this is not used.
inline constexpr std::uint64_t kDirectMapSize = std::uint64_t{64} << 30;
inline constexpr std::uint64_t kStackRegion = 0xffff'ffff'4000'0000;

struct Machine;
struct PaRange;
namespace memory {
struct Layout;
}

/// Bump allocator for what start-up needs before there is a frame allocator: page-aligned, zeroed, never
/// freed.
class EarlyMemory {
 public:
  EarlyMemory(std::uint64_t start, std::uint64_t end) : next_(start), end_(end) {}
  /// Physical address of `bytes` bytes rounded up to pages; nothing when memory is out.
  std::optional<Pa> allocate(std::uint64_t bytes);
  std::uint64_t next() const { return next_; }

  // What map_kernel_range asks for (mm/kernel_map.hpp).
  std::optional<Pa> allocate_table() { return allocate(kPageSize); }
  std::uint64_t* words(Pa table) const {
    return reinterpret_cast<std::uint64_t*>(kDirectMap + table.value());
  }

 private:
  std::uint64_t next_;
  std::uint64_t end_;
};

/// Builds the root table and switches this hart to it. Error: OutOfMemory and what map_kernel_range says
/// about a board whose devices overlap its memory.
[[nodiscard]] Result<Pa> build_kernel_map(EarlyMemory& early, const Machine& machine,
                                          const memory::Layout& layout, PaRange image);

/// The root table, and satp for it (ASID 0).
Pa kernel_root();
std::uint64_t kernel_satp();

/// A device's registers, or any physical memory, through the direct map.
inline std::byte* mmio(Pa address) { return reinterpret_cast<std::byte*>(kDirectMap + address.value()); }

/// Where an object lies in physical memory: for devices that access memory. The object lies in the direct map
/// or in the kernel image, not on a kernel stack; panics otherwise.
Pa physical_address(const void* object);

}  // namespace faultline
