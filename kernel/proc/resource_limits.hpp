#pragma once
// What setrlimit allows a process. The limits are stored here; whoever gives out the resource looks them up.

#include <array>
#include <atomic>
#include <cstdint>

#include "kernel/lib/result.hpp"

namespace faultline {

/// Linux's numbers (asm-generic/resource.h).
enum class Resource : std::uint8_t {
  CpuSeconds,
  FileSize,
  Data,
  Stack,
  Core,
  ResidentMemory,
  Processes,
  OpenFiles,
  LockedMemory,
  AddressSpace,
  FileLocks,
  PendingSignals,
  MessageQueues,
  Nice,
  RealTimePriority,
  RealTimeMicroseconds,
};
inline constexpr unsigned kResourceCount = 16;

struct ResourceLimit {
  static constexpr std::uint64_t kUnlimited = UINT64_MAX;
  std::uint64_t soft = kUnlimited;
  std::uint64_t hard = kUnlimited;
};

/// The limits of one process; a child starts with its parent's, and a program keeps those of the one before.
/// Changed under process_lock; read without it.
class ResourceLimits {
 public:
  /// What a program may lock in memory at first (Linux's default).
  static constexpr std::uint64_t kLockedBytes = 8 << 20;

  ResourceLimit of(Resource resource) const {
    const Entry& entry = entries_[static_cast<std::size_t>(resource)];
    return {.soft = entry.soft.load(std::memory_order_relaxed),
            .hard = entry.hard.load(std::memory_order_relaxed)};
  }
  std::uint64_t soft(Resource resource) const { return of(resource).soft; }
  void set(Resource resource, const ResourceLimit& limit) {
    Entry& entry = entries_[static_cast<std::size_t>(resource)];
    entry.soft.store(limit.soft, std::memory_order_relaxed);
    entry.hard.store(limit.hard, std::memory_order_relaxed);
  }
  void copy_from(const ResourceLimits& other) {
    for (unsigned i = 0; i < kResourceCount; ++i)
      set(static_cast<Resource>(i), other.of(static_cast<Resource>(i)));
  }

 private:
  struct Entry {
    std::atomic<std::uint64_t> soft = ResourceLimit::kUnlimited;
    std::atomic<std::uint64_t> hard = ResourceLimit::kUnlimited;
  };
  std::array<Entry, kResourceCount> entries_;
};

/// What the first process starts with.
void set_initial_limits(ResourceLimits& limits, std::uint64_t threads);

}  // namespace faultline
