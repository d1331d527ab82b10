#pragma once
// Event counters of the memory core, one set for each hart, added up when somebody asks (/proc/vmstat).

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "kernel/mm/hart_local.hpp"

namespace faultline {

// X(name, the name in /proc/vmstat)
#define FAULTLINE_COUNTERS(X)                     \
  X(PageFault, "fault_total")                     \
  X(DemandZero, "fault_demand_zero")              \
  X(ZeroPageMapped, "fault_zero_page")            \
  X(FileFault, "fault_file")                      \
  X(FileMappedAround, "file_mapped_around")       \
  X(SourceFault, "fault_page_source")             \
  X(CopyOnWrite, "cow_copy")                      \
  X(CopyOnWriteTakeover, "cow_takeover")          \
  X(SpuriousFault, "fault_spurious")              \
  X(FailedFault, "fault_failed")                  \
  X(Fork, "fork")                                 \
  X(TableShared, "fork_table_shared")             \
  X(TableCopied, "fork_table_copied")             \
  X(TableTakeover, "fork_table_takeover")         \
  X(TlbBatch, "tlb_batch")                        \
  X(LocalFence, "tlb_fence_local")                \
  X(RemoteFence, "tlb_fence_remote")              \
  X(RemoteFenceTarget, "tlb_fence_remote_target") \
  X(ActivationFlush, "tlb_flush_at_switch")       \
  X(AsidRollover, "asid_rollover")                \
  X(PageCacheRead, "page_cache_read")             \
  X(PageCacheWrite, "page_cache_write")           \
  X(PageCacheReclaimed, "page_cache_reclaimed")

enum class Counter : std::uint8_t {
#define FAULTLINE_COUNTER_NAME(name, words) name,
  FAULTLINE_COUNTERS(FAULTLINE_COUNTER_NAME)
#undef FAULTLINE_COUNTER_NAME
};

inline constexpr std::string_view kCounterNames[] = {
#define FAULTLINE_COUNTER_WORDS(name, words) words,
    FAULTLINE_COUNTERS(FAULTLINE_COUNTER_WORDS)
#undef FAULTLINE_COUNTER_WORDS
};
inline constexpr std::size_t kCounters = std::size(kCounterNames);

namespace detail {
using HartCounters = std::array<std::atomic<std::uint64_t>, kCounters>;
extern HartLocal<HartCounters> hart_counters;
}  // namespace detail

/// Adds to a counter of the current hart.
inline void count(Counter counter, std::uint64_t events = 1) noexcept {
  detail::hart_counters[platform::current_hart()][static_cast<std::size_t>(counter)].fetch_add(
      events, std::memory_order_relaxed);
}

/// The sum over all harts since start-up.
[[nodiscard]] std::uint64_t counter_total(Counter counter) noexcept;

}  // namespace faultline
