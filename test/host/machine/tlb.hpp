#pragma once
// The address-translation cache of one simulated hart: everything the ISA allows to be remembered is, for as
// long as it allows.
//
// RISC-V privileged architecture 4.2.1 and 4.3.2 let an implementation cache leaf entries of every level,
// non-leaf entries, and go on using them after memory has changed, until an SFENCE.VMA that covers them.
// Without Svvptc it may also remember that a translation was not valid, so that a new mapping is first met
// with a spurious fault. When an entry changes, the old one is used as long as it stands here, never the new.
//
// What a fence covers:
//   by address   leaf and not-valid results for the pages named, in the space named; no non-leaf entries
//   by space     everything of the space
// An invalid entry ends a walk as a leaf does, so a fence by address drops it whatever its level.

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "kernel/mm/platform.hpp"
#include "test/host/machine/frame_arena.hpp"

namespace faultline::sim {

/// Sv39 entry bits, written down a second time: the machine must not believe the header under test.
namespace pte_bits {
inline constexpr std::uint64_t kValid = 1, kRead = 2, kWrite = 4, kExecute = 8, kUser = 16, kGlobal = 32,
                               kAccessed = 64, kDirty = 128;
inline constexpr std::uint64_t kRights = kRead | kWrite | kExecute;
inline constexpr unsigned kPpnShift = 10;
inline constexpr std::uint64_t kPpnMask = (std::uint64_t{1} << 44) - 1;
inline constexpr std::uint64_t kReservedMask = ~((std::uint64_t{1} << 54) - 1);
inline std::uint64_t frame_address(std::uint64_t pte) { return ((pte >> kPpnShift) & kPpnMask) << 12; }
}  // namespace pte_bits

/// What a hart's satp selects.
struct Satp {
  Asid asid;
  Pa root;
};

struct TlbEntry {
  enum class Kind : std::uint8_t { Leaf, NotValid, Table };
  Kind kind;
  std::uint8_t level;        // of the page-table entry: 0 is the last
  std::uint64_t pte;         // as it was when it was cached
  std::uint64_t first_page;  // number of the first page covered
  Asid asid;
  Pa root;  // of the walk that made it
  std::uint32_t root_serial;
  Pa frame;  // where a leaf or table entry leads; the root for NotValid
  std::uint32_t frame_serial;
};

class Tlb {
 public:
  explicit Tlb(FrameArena& arena) : arena_(arena) {}
  Tlb(const Tlb&) = delete;
  ~Tlb() { clear(); }

  /// The remembered end of a walk for this page: a leaf, or that there was none.
  TlbEntry* find_result(Asid asid, std::uint64_t page);
  /// The remembered pointer from `level` (2 or 1) to the next table.
  TlbEntry* find_table(Asid asid, std::uint64_t page, unsigned level);

  /// Remembers, unless an older entry for the same pages stands: the old one stays in use.
  void insert(const TlbEntry& entry);
  void erase(const TlbEntry& entry);

  /// Forgets what the scope covers. Returns the pages whose results went, for the hart to fetch anew.
  std::vector<std::uint64_t> fence(const FenceScope& scope);
  void clear();
  /// Forgets about half of the entries, as a real TLB of bounded size may at any time.
  void evict(std::uint64_t random);

  template <class F>
  void for_each(F&& function) const {
    for (const auto& [key, entry] : entries_) function(entry);
  }
  std::size_t size() const { return entries_.size(); }

 private:
  static std::uint64_t key(Asid asid, std::uint64_t page, unsigned level, bool table) {
    const std::uint64_t prefix = page >> (9 * level);
    return std::uint64_t{static_cast<std::uint16_t>(asid)} << 40 | std::uint64_t{table} << 36 |
           std::uint64_t{level} << 32 | prefix;
  }
  static std::uint64_t key_of(const TlbEntry& entry) {
    // A not-valid result concerns its page alone, whatever the level at which the walk ended.
    const unsigned level = entry.kind == TlbEntry::Kind::NotValid ? 0 : entry.level;
    return key(entry.asid, entry.first_page, level, entry.kind == TlbEntry::Kind::Table);
  }
  void count(const TlbEntry& entry, int change);

  FrameArena& arena_;
  std::unordered_map<std::uint64_t, TlbEntry> entries_;
  std::size_t large_leaves_ = 0;
};

}  // namespace faultline::sim
