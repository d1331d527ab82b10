#pragma once
// Spans of time in nanoseconds. <chrono> would do, but is not freestanding: GCC 13 and later refuse it in a
// kernel. A program of the host that has it may give its durations where one of these is wanted.

#include <compare>
#include <cstdint>

namespace faultline {

class Duration {
 public:
  constexpr Duration() = default;
  static constexpr Duration nanoseconds(std::int64_t count) { return Duration(count); }
  static constexpr Duration milliseconds(std::int64_t count) { return Duration(count * 1'000'000); }

  /// From a std::chrono::duration of whole nanoseconds or coarser.
  template <typename Chrono>
    requires requires(Chrono duration) {
      duration.count();
      Chrono::period::num;
    }
  constexpr Duration(Chrono duration)
      : nanoseconds_(static_cast<std::int64_t>(duration.count()) *
                     (Chrono::period::num * (1'000'000'000 / Chrono::period::den))) {
    static_assert(1'000'000'000 % Chrono::period::den == 0);
  }

  constexpr std::int64_t in_nanoseconds() const { return nanoseconds_; }
  constexpr std::int64_t in_milliseconds_rounded_up() const { return (nanoseconds_ + 999'999) / 1'000'000; }

  friend constexpr Duration operator+(Duration a, Duration b) {
    return Duration(a.nanoseconds_ + b.nanoseconds_);
  }
  friend constexpr Duration operator-(Duration a, Duration b) {
    return Duration(a.nanoseconds_ - b.nanoseconds_);
  }
  friend constexpr auto operator<=>(const Duration&, const Duration&) = default;

 private:
  explicit constexpr Duration(std::int64_t nanoseconds) : nanoseconds_(nanoseconds) {}

  std::int64_t nanoseconds_ = 0;
};

}  // namespace faultline
