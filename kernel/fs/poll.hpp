#pragma once
// Waiting for any of several files to become ready.
//
//     PollWaiter waiter;                          // on the polling thread's stack
//     for each file: events |= file.poll(&waiter);   // reports, and registers with the file's PollQueue
//     if (!events) waiter.wait(deadline);            // returns once any queue has been notified since
//
// A file registers the waiter before it looks at its own state. A change that comes after the look finds the
// waiter registered; one that came before is seen by the look. So no wake-up is lost.

#include <cstdint>
#include <optional>

#include "kernel/lib/heap.hpp"
#include "kernel/lib/list.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/sync/wait_queue.hpp"

namespace faultline {

/// A set of conditions; the bits are those of poll(2).
class PollEvents {
 public:
  static constexpr std::uint32_t kReadable = 0x001, kPriority = 0x002, kWritable = 0x004, kError = 0x008,
                                 kHangUp = 0x010, kInvalid = 0x020;
  constexpr PollEvents() = default;
  constexpr PollEvents(std::uint32_t bits) : bits_(bits) {}
  constexpr std::uint32_t bits() const { return bits_; }
  constexpr bool any() const { return bits_ != 0; }
  constexpr PollEvents operator|(PollEvents other) const { return bits_ | other.bits_; }
  constexpr PollEvents operator&(PollEvents other) const { return bits_ & other.bits_; }

 private:
  std::uint32_t bits_ = 0;
};

class PollWaiter;

/// The waiters of one file.
class PollQueue {
 public:
  PollQueue() = default;
  ~PollQueue();

  /// Says that the file's readiness may have changed. Cheap when nobody waits. May be called from a device's
  /// interrupt and with locks held whose rank is below LockRank::PollQueue.
  void notify();

 private:
  friend class PollWaiter;
  struct Entry;
  struct InQueue;
  SpinLock lock_{LockRank::PollQueue};
  std::atomic<bool> watched_ = false;
  List<Entry, InQueue> entries_;
};

/// One thread's wait. The files it watches must outlive it: the caller holds references.
class PollWaiter {
 public:
  PollWaiter() = default;
  PollWaiter(const PollWaiter&) = delete;
  PollWaiter& operator=(const PollWaiter&) = delete;
  ~PollWaiter();

  /// Called by OpenFile::poll. When memory is out the waiter is marked notified, so the caller looks again.
  void watch(PollQueue& queue);

  /// Sleeps until a watched queue is notified (returns at once if one was since it was watched), and forgets
  /// that. Errors: Interrupted by a signal, TimedOut.
  [[nodiscard]] Result<> wait(std::optional<Ticks> deadline);

 private:
  friend class PollQueue;
  struct InWaiter;
  void notify();

  SpinLock lock_{LockRank::Condition};
  bool notified_ = false;
  WaitQueue sleeper_;
  List<PollQueue::Entry, InWaiter> entries_;
};

}  // namespace faultline
