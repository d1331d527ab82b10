#pragma once
// Process and thread numbers. Processes, threads, groups and sessions share one number space: a number is in
// use as long as any of them carries it, so a new process can never be taken for a group that outlived its
// leader.

#include <cstdint>
#include <utility>

#include "kernel/lib/result.hpp"

namespace faultline {

using ProcessId = std::int32_t;

/// Numbers are 1 … kMaxProcessId.
inline constexpr ProcessId kMaxProcessId = 8191;

/// One use of a number; the number is free again when all uses are gone.
class [[nodiscard]] Identifier {
 public:
  /// A number that nobody uses. Counts up and wraps, so that a number is not reused soon. Error: TryAgain.
  static Result<Identifier> allocate();
  /// The number that allocate() has returned last; 0 before the first.
  static ProcessId newest();

  Identifier(Identifier&& other) noexcept : value_(std::exchange(other.value_, 0)) {}
  Identifier& operator=(Identifier other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Identifier();

  /// One more use of the same number.
  Identifier share() const;
  ProcessId value() const { return value_; }

 private:
  explicit Identifier(ProcessId value) : value_(value) {}
  ProcessId value_;
};

}  // namespace faultline
