#pragma once
// Addresses that cannot be mistaken for one another, for numbers or for pointers.
//
//   Pa   physical address, below 2^56 (Sv39 physical addresses, RISC-V privileged architecture 4.4.1)
//   Va   user virtual address, below 2^38: the lower canonical half of Sv39
//   Kva  kernel virtual address: the upper canonical half
//
// All three are plain values; the checked factory `from` is the only way in from an untrusted number.

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "kernel/lib/panic.hpp"
#include "kernel/lib/result.hpp"

namespace faultline {

inline constexpr unsigned kPageShift = 12;
inline constexpr std::size_t kPageSize = std::size_t{1} << kPageShift;
inline constexpr unsigned kMegapageShift = 21;
inline constexpr std::size_t kMegapageSize = std::size_t{1} << kMegapageShift;
inline constexpr unsigned kGigapageShift = 30;
inline constexpr std::size_t kGigapageSize = std::size_t{1} << kGigapageShift;

/// First address past the user half of Sv39.
inline constexpr std::uint64_t kUserEnd = std::uint64_t{1} << 38;

constexpr std::uint64_t page_floor(std::uint64_t value) { return value & ~(kPageSize - 1); }
constexpr bool is_page_aligned(std::uint64_t value) { return value % kPageSize == 0; }
/// Bytes rounded up to whole pages; nothing when that overflows.
constexpr std::optional<std::uint64_t> page_ceiling(std::uint64_t value) {
  if (value > UINT64_MAX - (kPageSize - 1)) return std::nullopt;
  return page_floor(value + kPageSize - 1);
}

namespace detail {
/// What the three address types share. `First` and `Last` are the least and the greatest legal value.
template <class Derived, std::uint64_t First, std::uint64_t Last>
class Address {
 public:
  /// The address with this value, or nothing if it is not one of this kind.
  static constexpr std::optional<Derived> from(std::uint64_t value) {
    if (value < First || value > Last) return std::nullopt;
    return Derived(Trusted{}, value);
  }
  /// For values known to be legal; panics otherwise.
  static constexpr Derived checked(std::uint64_t value) {
    ASSERT(value >= First && value <= Last);
    return Derived(Trusted{}, value);
  }

  constexpr std::uint64_t value() const { return value_; }
  constexpr bool page_aligned() const { return is_page_aligned(value_); }
  constexpr std::size_t page_offset() const { return value_ % kPageSize; }
  /// The start of the page that holds this address.
  constexpr Derived page() const { return Derived(Trusted{}, page_floor(value_)); }
  /// This address moved by `bytes`; panics when the result is not an address of this kind.
  constexpr Derived operator+(std::uint64_t bytes) const { return checked(value_ + bytes); }
  constexpr Derived operator-(std::uint64_t bytes) const { return checked(value_ - bytes); }
  constexpr std::int64_t operator-(Address other) const {
    return static_cast<std::int64_t>(value_ - other.value_);
  }
  friend constexpr auto operator<=>(const Address&, const Address&) = default;

 private:
  friend Derived;
  struct Trusted {};
  constexpr Address(Trusted, std::uint64_t value) : value_(value) {}

  std::uint64_t value_;
};
}  // namespace detail

class Pa : public detail::Address<Pa, 0, (std::uint64_t{1} << 56) - 1> {
  friend Address;
  constexpr Pa(Trusted trusted, std::uint64_t value) : Address(trusted, value) {}

 public:
  /// Physical page number, as it stands in a PTE.
  constexpr std::uint64_t page_number() const { return value() >> kPageShift; }
  static constexpr Pa from_page_number(std::uint64_t number) { return checked(number << kPageShift); }
};

// kUserEnd itself is representable, as the end of a range; no page starts there.
class Va : public detail::Address<Va, 0, kUserEnd> {
  friend Address;
  constexpr Va(Trusted trusted, std::uint64_t value) : Address(trusted, value) {}

 public:
  /// Index into the table of `level` (2 is the root, 0 the last level); Sv39: nine bits a level.
  constexpr std::size_t table_index(unsigned level) const {
    return (value() >> (kPageShift + 9 * level)) & 0x1ff;
  }
};

class Kva : public detail::Address<Kva, 0xffff'ffc0'0000'0000, UINT64_MAX> {
  friend Address;
  constexpr Kva(Trusted trusted, std::uint64_t value) : Address(trusted, value) {}
};

/// Half-open range [start, end) of user addresses. May be empty.
class VaRange {
 public:
  /// The range of `size` bytes at `start`. InvalidArgument when it leaves the user half or wraps.
  static constexpr Result<VaRange> from(std::uint64_t start, std::uint64_t size) {
    if (start > kUserEnd || size > kUserEnd - start) return failure(KernelError::InvalidArgument);
    return VaRange(Va::checked(start), Va::checked(start + size));
  }
  constexpr VaRange(Va start, Va end) : start_(start), end_(end) { ASSERT(start <= end); }

  constexpr Va start() const { return start_; }
  constexpr Va end() const { return end_; }
  constexpr std::size_t size() const { return end_.value() - start_.value(); }
  constexpr std::size_t pages() const { return size() >> kPageShift; }
  constexpr bool empty() const { return start_ == end_; }
  constexpr bool contains(Va va) const { return start_ <= va && va < end_; }
  constexpr bool contains(VaRange other) const { return start_ <= other.start_ && other.end_ <= end_; }
  constexpr bool overlaps(VaRange other) const { return start_ < other.end_ && other.start_ < end_; }
  /// What both ranges contain; empty when they do not overlap.
  constexpr VaRange intersection(VaRange other) const {
    const Va start = std::max(start_, other.start_);
    return VaRange(start, std::max(start, std::min(end_, other.end_)));
  }
  constexpr bool page_aligned() const { return start_.page_aligned() && end_.page_aligned(); }
  friend constexpr bool operator==(const VaRange&, const VaRange&) = default;

 private:
  Va start_;
  Va end_;
};

}  // namespace faultline
