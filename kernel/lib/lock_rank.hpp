#pragma once
// The order of spin locks, and the check that it is kept.
//
// Ranks order the locks: a hart may only wait for a lock whose rank is greater than every rank it holds. Then
// harts that wait for each other in a circle cannot be. And a hart that holds any may not sleep: whoever
// wants the lock would spin until the sleeper's next turn. A build with FAULTLINE_CHECK_LOCK_RANKS (make
// CHECK_LOCKS=1) checks both at every acquisition and wherever a thread might sleep, even if it does not have
// to this time, and panics; in any other build the checks are nothing.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace faultline {

/// Order of acquisition, outermost first. `Leaf` locks are taken last and hold nothing inside.
enum class LockRank : std::uint8_t {
  FileLease = 4,      // leases of files
  FileSignals = 6,    // whom open files tell
  Process = 10,       // process tree, signal state
  FileSystem = 20,    // mounts, open files, descriptors
  Inode = 30,         // which inodes are in memory
  InodeState = 35,    // the attributes of one
  FileMappings = 40,  // the areas that map a file
  Futex = 45,         // threads that wait for a word of a user's
  UpperPageTable = 48,
  PageTable = 50,  // one last-level page table
  PageCache = 55,
  PollQueue = 56,
  Condition = 58,  // covers only what a thread sleeps for
  WaitQueue = 60,
  Scheduler = 70,  // a run queue
  Device = 75,
  HeapMagazine = 78,  // one hart's stock of small objects
  Heap = 80,
  FrameAllocator = 85,
  Console = 90,
  Leaf = 100,
};

std::string_view name_of(LockRank rank);

/// What one hart holds.
class HeldRanks {
 public:
  /// Before a lock of this rank is waited for. Panics, with both names, unless every rank held is below it.
  void acquire(LockRank rank);
  /// A lock was got without waiting for it, which cannot close a circle.
  void acquire_without_waiting(LockRank rank);
  /// Locks need not be released in the reverse order. Panics when none of this rank is held.
  void release(LockRank rank);
  /// Panics when any lock is held; where a thread is about to sleep, or might have to.
  void check_none_held();

 private:
  static constexpr std::size_t kDeepest = 16;

  std::span<char> message_space() { return {message_.data(), message_.size() - 1}; }

  std::array<LockRank, kDeepest> ranks_{};
  std::size_t count_ = 0;
  std::array<char, 96> message_{};  // of the panic; its last byte stays zero
};

#ifdef FAULTLINE_CHECK_LOCK_RANKS
/// Seam: the locks of the hart this runs on; null before harts can be told apart.
HeldRanks* held_ranks() noexcept;

inline void lock_rank_acquired(LockRank rank) {
  if (HeldRanks* const held = held_ranks()) held->acquire(rank);
}
inline void lock_rank_acquired_without_waiting(LockRank rank) {
  if (HeldRanks* const held = held_ranks()) held->acquire_without_waiting(rank);
}
inline void lock_rank_released(LockRank rank) {
  if (HeldRanks* const held = held_ranks()) held->release(rank);
}
/// To be called where a thread may have to sleep, whether or not it does.
inline void may_sleep() {
  if (HeldRanks* const held = held_ranks()) held->check_none_held();
}
#else
inline void lock_rank_acquired(LockRank) noexcept {}
inline void lock_rank_acquired_without_waiting(LockRank) noexcept {}
inline void lock_rank_released(LockRank) noexcept {}
inline void may_sleep() noexcept {}
#endif

}  // namespace faultline
