#pragma once
// The reader-writer lock of an address space. Faults read, calls that change the layout write.
//
// A reader counts itself in the slot of the hart it starts on, a cache line of its own, and then looks
// whether a writer is there; a writer announces itself and then waits for every slot to become 0. Both are
// sequentially consistent, so one of the two sees the other. Readers on different harts write no common line.
// Both sides sleep while they wait, because a reader may sleep while it holds the lock (its page comes from a
// disk), and may wake up on another hart: the guard remembers the slot.
//
// A reader must not take the lock again: a writer that waits in between would wait for the first hold, and
// the second hold for the writer. Hence everything that runs under a read guard gets the guard's object and
// never calls back into MmStruct.

#include <atomic>
#include <cstdint>
#include <optional>

#include "kernel/lib/lock_rank.hpp"
#include "kernel/mm/hart_local.hpp"

namespace faultline {

class AddressSpaceLock {
 public:
  AddressSpaceLock() = default;
  AddressSpaceLock(const AddressSpaceLock&) = delete;
  AddressSpaceLock& operator=(const AddressSpaceLock&) = delete;
  ~AddressSpaceLock() { ASSERT(is_free()); }

  bool is_free() const noexcept;

  /// Starts reading unless a writer is there; never sleeps. The hart whose slot counts the hold, for a
  /// ReadGuard.
  [[nodiscard]] std::optional<HartId> try_lock_shared() noexcept {
    const HartId hart = platform::current_hart();
    readers_[hart].fetch_add(1);
    if (writer_.load() == kFree) [[likely]]
      return hart;
    unlock_shared(hart);
    return std::nullopt;
  }

  class [[nodiscard]] ReadGuard {
   public:
    explicit ReadGuard(AddressSpaceLock& lock) noexcept : lock_(lock), hart_(lock.lock_shared()) {}
    /// Takes over a hold that try_lock_shared got.
    ReadGuard(AddressSpaceLock& lock, HartId hart) noexcept : lock_(lock), hart_(hart) {}
    ReadGuard(const ReadGuard&) = delete;
    ReadGuard& operator=(const ReadGuard&) = delete;
    ~ReadGuard() { lock_.unlock_shared(hart_); }

   private:
    AddressSpaceLock& lock_;
    HartId hart_;
  };

  class [[nodiscard]] WriteGuard {
   public:
    explicit WriteGuard(AddressSpaceLock& lock) noexcept : lock_(lock) { lock.lock(); }
    WriteGuard(const WriteGuard&) = delete;
    WriteGuard& operator=(const WriteGuard&) = delete;
    ~WriteGuard() { lock_.unlock(); }

   private:
    AddressSpaceLock& lock_;
  };

 private:
  enum Writer : std::uint32_t { kFree, kHeld, kHeldAndWaitedFor };

  HartId lock_shared() noexcept {
    may_sleep();
    if (const std::optional<HartId> hart = try_lock_shared()) [[likely]]
      return *hart;
    return wait_and_lock_shared();
  }
  void unlock_shared(HartId hart) noexcept {
    if (readers_[hart].fetch_sub(1) == 1 && writer_.load() != kFree) [[unlikely]] {
      platform::wake_waiters(readers_[hart]);
    }
  }
  void lock() noexcept;
  void unlock() noexcept;
  HartId wait_and_lock_shared() noexcept;

  HartLocal<std::atomic<std::uint32_t>> readers_;
  alignas(kCacheLine) std::atomic<std::uint32_t> writer_ = kFree;
};

}  // namespace faultline
