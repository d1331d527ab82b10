#pragma once
// The types that the memory core and the machine beneath it share (platform.hpp).

#include <atomic>
#include <bit>
#include <cstdint>
#include <optional>

#include "kernel/mm/address.hpp"

namespace faultline {

inline constexpr unsigned kMaxHarts = 8;

/// Dense number of a hart, 0 … kMaxHarts-1; not the mhartid, which may be sparse.
enum class HartId : std::uint8_t {};

/// A set of harts.
class HartSet {
 public:
  constexpr HartSet() = default;
  static constexpr HartSet from_bits(std::uint64_t bits) {
    HartSet set;
    set.bits_ = bits;
    return set;
  }
  static constexpr HartSet of(HartId hart) {
    return from_bits(std::uint64_t{1} << static_cast<unsigned>(hart));
  }
  constexpr bool contains(HartId hart) const { return (bits_ & of(hart).bits_) != 0; }
  constexpr HartSet without(HartId hart) const { return from_bits(bits_ & ~of(hart).bits_); }
  constexpr HartSet with(HartId hart) const { return from_bits(bits_ | of(hart).bits_); }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr unsigned count() const { return static_cast<unsigned>(std::popcount(bits_)); }
  constexpr std::uint64_t bits() const { return bits_; }

 private:
  std::uint64_t bits_ = 0;
};

/// Address-space identifier as it stands in satp. 0 is the kernel's own table. A user space has it only where
/// the machine has too few identifiers to tell spaces apart (asid.hpp).
enum class Asid : std::uint16_t {};

/// What a fence covers: one address space, and in it a page range or everything. Where a table was taken
/// away, only everything will do: an sfence.vma by address need not drop cached non-leaf entries (privileged
/// architecture, 4.2.1).
struct FenceScope {
  Asid asid;
  std::optional<VaRange> range;  // nothing: the whole space, leaf and non-leaf entries
};

/// Bookkeeping of one 4 KiB frame; 16 bytes. Lives outside the frame, so that it survives junk-filling.
struct FrameInfo {
  std::atomic<std::uint32_t> references = 0;  // owners: Frame handles, PTEs, page-cache entries
  // The rest is for the frame's one use: of a page table, the lock that covers its entries and how many of
  // them are not empty; of a slab, its free objects and its neighbours; of a free block, its order and its
  // neighbours.
  std::atomic<std::uint32_t> table_lock = 0;
  std::atomic<std::uint64_t> tag = 0;
};
static_assert(sizeof(FrameInfo) == 16);

enum class FrameContents : std::uint8_t { Any, Zeroed };

}  // namespace faultline
