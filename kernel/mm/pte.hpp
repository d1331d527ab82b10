#pragma once
// The Sv39 page-table entry, bit for bit (RISC-V privileged architecture, 4.4.1):
//
//   63 62..61 60..54   53 .. 10          9..8  7 6 5 4 3 2 1 0
//   N  PBMT   reserved physical page     RSW   D A G U X W R V
//
// The two RSW bits are ours. While V is 0 every other bit is ours as well, which gives two more kinds of
// entry:
//
//   V  R W X   kind
//   1  0 0 0   table         points to the next level
//   1  else    leaf          a 4 KiB, 2 MiB or 1 GiB page, by the level it stands in
//   0  1 0 0   retained      a leaf whose mapping allows nothing now (PROT_NONE); it still owns its frame
//   0  0 1 0   shared table  a last-level table that fork left to several spaces, until the first access
//   0  0 0 0   empty         (the whole word is 0)
//
// The hart sets A and D by itself, at any moment, so an entry in memory is only read and written through
// PteSlot.

#include <atomic>
#include <bit>
#include <cstdint>

#include "kernel/mm/address.hpp"
#include "kernel/mm/permission.hpp"

namespace faultline {

inline constexpr std::size_t kEntriesPerTable = 512;
inline constexpr unsigned kTableLevels = 3;

/// Bytes that one entry of a table of `level` covers: 4 KiB, 2 MiB, 1 GiB.
constexpr std::uint64_t entry_span(unsigned level) { return std::uint64_t{1} << (kPageShift + 9 * level); }

class Pte {
 public:
  static constexpr std::uint64_t kValid = 1 << 0;
  static constexpr std::uint64_t kRead = 1 << 1;
  static constexpr std::uint64_t kWrite = 1 << 2;
  static constexpr std::uint64_t kExecute = 1 << 3;
  static constexpr std::uint64_t kUser = 1 << 4;
  static constexpr std::uint64_t kGlobal = 1 << 5;
  static constexpr std::uint64_t kAccessed = 1 << 6;
  static constexpr std::uint64_t kDirty = 1 << 7;
  /// Software: the entry owns no reference to its frame (the zero page, memory mapped by map_range).
  static constexpr std::uint64_t kUncounted = 1 << 8;
  /// Software: the entry belongs to a shared mapping, so fork neither copies nor write-protects its page.
  static constexpr std::uint64_t kSharedMapping = 1 << 9;

  static constexpr std::uint64_t kRights = kRead | kWrite | kExecute;
  static constexpr std::uint64_t kSoftware = kUncounted | kSharedMapping;
  static constexpr unsigned kPageNumberShift = 10;
  static constexpr std::uint64_t kPageNumberMask = ((std::uint64_t{1} << 44) - 1) << kPageNumberShift;

  constexpr Pte() = default;
  explicit constexpr Pte(std::uint64_t raw) : raw_(raw) {}
  constexpr std::uint64_t raw() const { return raw_; }

  static constexpr Pte table(Pa table) { return Pte(number_bits(table) | kValid); }
  static constexpr Pte shared_table(Pa table) { return Pte(number_bits(table) | kWrite); }
  /// A user page with these rights, A set, and D set when it may be written and `dirty` says so. Without any
  /// right the entry is a retained one.
  static constexpr Pte user(Pa page, Permission permission, std::uint64_t software, bool dirty) {
    const std::uint64_t common = number_bits(page) | software;
    if (permission.is_none()) return Pte(common | kRead | (dirty ? kDirty : 0));
    return Pte(common | rights(permission) | kValid | kUser | kAccessed | (dirty ? kDirty : 0));
  }
  /// A page of the kernel's own map: global, not for user mode.
  static constexpr Pte kernel(Pa page, Permission permission) {
    return Pte(number_bits(page) | rights(permission) | kValid | kGlobal | kAccessed | kDirty);
  }

  constexpr bool is_empty() const { return raw_ == 0; }
  constexpr bool is_valid() const { return (raw_ & kValid) != 0; }
  constexpr bool is_leaf() const { return is_valid() && (raw_ & kRights) != 0; }
  constexpr bool is_table() const { return is_valid() && (raw_ & kRights) == 0; }
  constexpr bool is_retained() const { return (raw_ & (kValid | kRights)) == kRead; }
  constexpr bool is_shared_table() const { return (raw_ & (kValid | kRights)) == kWrite; }
  /// A leaf or retained entry: one that stands for a page.
  constexpr bool has_page() const { return is_leaf() || is_retained(); }

  constexpr bool is_dirty() const { return (raw_ & kDirty) != 0; }
  constexpr bool is_counted() const { return (raw_ & kUncounted) == 0; }
  constexpr bool is_shared_mapping() const { return (raw_ & kSharedMapping) != 0; }
  constexpr Pa pa() const { return Pa::from_page_number((raw_ & kPageNumberMask) >> kPageNumberShift); }

  /// What the hart would allow through this entry; none unless it is a leaf. W without R, which is reserved,
  /// allows nothing.
  constexpr Permission permission() const {
    if (!is_leaf()) return Permission::none();
    return Permission::from((raw_ & kRead) != 0, (raw_ & kWrite) != 0, (raw_ & kExecute) != 0)
        .value_or(Permission::none());
  }
  /// True when the hart would perform the access through this entry without a fault, A and D included: harts
  /// that do not set A and D themselves fault instead.
  constexpr bool allows(Access access) const {
    constexpr std::uint64_t kBase = kValid | kUser | kAccessed;
    const std::uint64_t needed = access == Access::Read    ? kBase | kRead
                                 : access == Access::Write ? kBase | kRead | kWrite | kDirty
                                                           : kBase | kExecute;
    return (raw_ & needed) == needed;
  }

  friend constexpr bool operator==(const Pte&, const Pte&) = default;

 private:
  static constexpr std::uint64_t number_bits(Pa pa) { return pa.page_number() << kPageNumberShift; }
  static constexpr std::uint64_t rights(Permission permission) { return permission.bits() * kRead; }
  std::uint64_t raw_ = 0;
};

static_assert(sizeof(Pte) == 8);
static_assert(kEntriesPerTable * sizeof(Pte) == kPageSize);
static_assert(entry_span(0) == kPageSize && entry_span(1) == kMegapageSize && entry_span(2) == kGigapageSize);
static_assert(Pte::table(Pa::checked(0x8020'0000)).raw() == 0x2008'0001);
static_assert(Pte::user(Pa::checked(0x8020'0000), Permission::read_write(), 0, true).raw() == 0x2008'00d7);
static_assert(Permission::read_write().bits() * Pte::kRead == (Pte::kRead | Pte::kWrite));
static_assert(Permission::execute().bits() * Pte::kRead == Pte::kExecute);
static_assert(Pte::user(Pa::checked(0x8020'0000), Permission::none(), 0, false).is_retained());
static_assert(Pte::kernel(Pa::checked(0x8020'0000), Permission::read_execute()).raw() == 0x2008'00eb);
static_assert(!Pte::shared_table(Pa::checked(0x8020'0000)).is_valid());
static_assert(Pte(~std::uint64_t{0}).pa().value() == (std::uint64_t{1} << 56) - kPageSize);

/// One entry in memory. Every access is atomic; changes are sequentially consistent, because the shootdown
/// protocol (tlb.hpp) orders them against the set of active harts.
class PteSlot {
 public:
  explicit PteSlot(std::uint64_t* word) noexcept : word_(word) {}
  /// The slot `entries` further on in the same table.
  PteSlot operator+(std::ptrdiff_t entries) const noexcept { return PteSlot(word_ + entries); }

  Pte load() const noexcept { return Pte(ref().load(std::memory_order_acquire)); }
  /// For scans of a table whose entries nobody else fills or empties meanwhile: orders nothing.
  bool is_empty() const noexcept { return ref().load(std::memory_order_relaxed) == 0; }
  void store(Pte entry) const noexcept { ref().store(entry.raw(), std::memory_order_release); }
  /// Replaces the entry and returns what stood there at that moment, with the A and D bits that the hart had
  /// set.
  Pte exchange(Pte entry) const noexcept { return Pte(ref().exchange(entry.raw())); }
  /// Installs `desired` if the entry still is `expected`; otherwise says what stands there.
  bool compare_exchange(Pte& expected, Pte desired) const noexcept {
    std::uint64_t seen = expected.raw();
    const bool swapped = ref().compare_exchange_strong(seen, desired.raw());
    expected = Pte(seen);
    return swapped;
  }
  Pte fetch_or(std::uint64_t bits) const noexcept { return Pte(ref().fetch_or(bits)); }
  Pte fetch_and(std::uint64_t bits) const noexcept { return Pte(ref().fetch_and(bits)); }

 private:
  std::atomic_ref<std::uint64_t> ref() const noexcept { return std::atomic_ref<std::uint64_t>(*word_); }
  std::uint64_t* word_;
};

}  // namespace faultline
