#pragma once
// The set of postcopy regions, readable from anywhere: also from a signal handler that interrupted
// register_region.
//
// Readers never wait. They count themselves in, load the current sorted array, search it and count themselves
// out. A writer publishes a new array and frees the old one only once it has seen the reader count at zero
// after the exchange: a reader that counts itself in later finds the new array (both sides use sequentially
// consistent operations, so either the writer sees the reader's count or the reader sees the writer's array).

#include <atomic>
#include <cstdint>
#include <optional>

#include "kernel/lib/result.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/lib/vector.hpp"

namespace faultline {

/// Bytes [base, base + size) of the source's address space.
struct PostcopyRegion {
  std::uint64_t base;
  std::uint64_t size;

  constexpr bool contains(std::uint64_t ipa) const { return ipa >= base && ipa - base < size; }
  /// True when all `length` bytes from `ipa` lie inside.
  constexpr bool contains(std::uint64_t ipa, std::uint64_t length) const {
    return contains(ipa) && length <= size - (ipa - base);
  }
};

class RegionTable {
 public:
  RegionTable() = default;
  RegionTable(const RegionTable&) = delete;
  RegionTable& operator=(const RegionTable&) = delete;
  ~RegionTable();

  /// Adds a region. Errors: InvalidArgument (empty, or past the end of the address space), AlreadyMapped
  /// (overlaps a region added before), OutOfMemory. On an error the table is as before.
  [[nodiscard]] Result<> add(PostcopyRegion region);

  /// The region that holds `ipa`. Does not wait, allocates nothing, may run in a signal handler.
  std::optional<PostcopyRegion> find(std::uint64_t ipa) const;

 private:
  using Regions = Vector<PostcopyRegion>;

  SpinLock writers_{LockRank::Leaf};
  std::atomic<Regions*> current_ = nullptr;
  mutable std::atomic<std::uint32_t> readers_ = 0;
};

}  // namespace faultline
