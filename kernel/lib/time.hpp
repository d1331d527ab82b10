#pragma once
// Moments and durations in ticks of the machine's time counter. How long a tick is, only dev/clock.hpp knows.

#include <compare>
#include <cstdint>

namespace faultline {

inline constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;

/// Programs count processor time in 1/100 s.
inline constexpr std::uint64_t kUserTicksPerSecond = 100;

/// A moment since power-on, or a duration. Arithmetic saturates, so a hostile timeout never wraps into the
/// past.
class Ticks {
 public:
  constexpr Ticks() = default;
  explicit constexpr Ticks(std::uint64_t count) : count_(count) {}
  /// Later than every moment.
  static constexpr Ticks forever() { return Ticks(UINT64_MAX); }

  constexpr std::uint64_t count() const { return count_; }
  constexpr bool is_forever() const { return count_ == UINT64_MAX; }

  friend constexpr Ticks operator+(Ticks a, Ticks b) {
    return Ticks(a.count_ > UINT64_MAX - b.count_ ? UINT64_MAX : a.count_ + b.count_);
  }
  friend constexpr Ticks operator-(Ticks a, Ticks b) {
    return Ticks(a.count_ < b.count_ ? 0 : a.count_ - b.count_);
  }
  friend constexpr auto operator<=>(const Ticks&, const Ticks&) = default;

 private:
  std::uint64_t count_ = 0;
};

}  // namespace faultline
