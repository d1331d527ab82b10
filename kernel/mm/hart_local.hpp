#pragma once
// One T for each hart, each on cache lines of its own, so that harts that write theirs do not disturb each
// other.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>

#include "kernel/mm/platform.hpp"

namespace faultline {

inline constexpr std::size_t kCacheLine = 64;

template <class T>
class HartLocal {
 public:
  T& operator[](HartId hart) { return items_[static_cast<std::size_t>(hart)].item; }
  const T& operator[](HartId hart) const { return items_[static_cast<std::size_t>(hart)].item; }

  /// Calls f(item) for every hart's item.
  template <class F>
  void for_each(F&& f) {
    for (Padded& padded : items_) f(padded.item);
  }
  template <class F>
  void for_each(F&& f) const {
    for (const Padded& padded : items_) f(padded.item);
  }

 private:
  // A power of two, so that a hart's item is found by a shift.
  struct alignas(std::max(kCacheLine, std::bit_ceil(sizeof(T)))) Padded {
    T item{};
  };
  std::array<Padded, kMaxHarts> items_{};
};

}  // namespace faultline
