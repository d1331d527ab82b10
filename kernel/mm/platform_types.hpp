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

/// Address-space identifier as it stands in satp. 0 is the kernel's own table and never given to a user
/// space.
enum class Asid : std::uint16_t {};

/// What a fence covers: one address space, and in it a page range or everything. `tables_changed` asks that
/// cached non-leaf entries go as well (an sfence.vma by address need not drop those; privileged
/// architecture, 4.2.1).
struct FenceScope {
  Asid asid;
  std::optional<VaRange> range;  // nothing: the whole space, leaf and non-leaf entries
};

/// Bookkeeping of one 4 KiB frame; 16 bytes. Lives outside the frame, so that it survives junk-filling.
struct FrameInfo {
  std::atomic<std::uint32_t> references = 0;  // owners: Frame handles, PTEs, page-cache entries
  std::atomic<std::uint32_t> table_lock = 0;  // last-level page tables: the lock that covers their entries
  std::atomic<std::uint64_t> tag = 0;  // owner's use: valid-entry count of a table, state of a cached page
};
static_assert(sizeof(FrameInfo) == 16);

enum class FrameContents : std::uint8_t { Any, Zeroed };

}  // namespace faultline
