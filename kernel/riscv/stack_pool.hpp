#pragma once
// Which thread has which kernel stack. Portable: the host tests run its every interleaving.
//
// A slot of the stack region is in one state at a time, and every change of state is made under the lock and
// asserts the state that it leaves. So no slot can be given away twice, nor come back twice:
//
//     Free ──allocate──▶ Taken ──release──▶ Cached ──allocate──▶ Taken
//      ▲                                       │
//      └──(unmapped, all harts fenced)── Leaving ◀──release_cached
//
// A Taken or Leaving slot is the business of one caller alone, who therefore maps and unmaps it without the
// lock. A slot becomes Free when its frames are gone, once, and not before: whoever takes it then maps frames
// of its own there.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "kernel/lib/result.hpp"
#include "kernel/lib/spin_lock.hpp"

namespace faultline {

/// What the pool asks of the machine. Called without the pool's lock, for slots that are the caller's alone.
struct StackMapper {
  /// Gives the slot frames. Error: OutOfMemory, and the slot is as before. On success the mapping's
  /// generation: a hart that has not fenced since then may not see it.
  [[nodiscard]] virtual Result<std::uint64_t> map(std::size_t slot) = 0;
  /// The slot's addresses lead nowhere any more, but for what harts remember.
  virtual void unmap(std::size_t slot) = 0;
  /// No hart remembers what was unmapped before.
  virtual void fence_all_harts() = 0;
  /// Gives back the frames of an unmapped slot.
  virtual void release_frames(std::size_t slot) = 0;

 protected:
  ~StackMapper() = default;
};

class StackPool {
 public:
  static constexpr std::size_t kMaxSlots = 4096;

  explicit constexpr StackPool(StackMapper& mapper) : mapper_(mapper) {}

  /// Slots 0 … count-1 are there, and free. For start-up, once.
  void add_slots(std::size_t count);
  std::size_t capacity() const { return capacity_; }

  struct Stack {
    std::size_t slot;
    std::uint64_t generation;
  };
  /// A cached stack, else a free slot with a new one. Error: OutOfMemory, also when all slots are taken.
  [[nodiscard]] Result<Stack> allocate();
  /// The stack stays mapped for the next thread.
  void release(std::size_t slot);
  /// Takes the frames of all cached stacks. True if there were any.
  bool release_cached();
  std::size_t cached() const { return cached_count_.load(std::memory_order_relaxed); }

 private:
  enum class State : std::uint8_t { Absent, Free, Taken, Cached, Leaving };
  using Index = std::uint16_t;
  static constexpr Index kNone = 0xffff;
  static_assert(kMaxSlots < kNone);

  struct Slot {
    State state = State::Absent;
    Index next = kNone;  // in the list of its state
    std::uint64_t generation = 0;
  };

  void change(std::size_t slot, State from, State to, const SpinGuard& proof);
  void push(Index& list, std::size_t slot, const SpinGuard& proof);
  std::optional<std::size_t> pop(Index& list, const SpinGuard& proof);
  void add_free(std::size_t slot, State from);

  StackMapper& mapper_;
  SpinLock lock_{LockRank::FrameAllocator};
  std::array<Slot, kMaxSlots> slots_{};
  Index free_ = kNone;
  Index cached_ = kNone;
  std::atomic<std::size_t> cached_count_ = 0;  // written under lock_
  std::size_t capacity_ = 0;
};

}  // namespace faultline
