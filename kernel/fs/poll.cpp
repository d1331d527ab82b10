#include "kernel/fs/poll.hpp"

namespace faultline {

// Stands in two lists. Its owner, the waiter, makes and destroys it; both happen under the queue's lock, so
// that notify() never meets half an entry. Order of the locks: queue before waiter.
struct PollQueue::Entry : ListNode<InQueue>, ListNode<PollWaiter::InWaiter> {
  Entry(PollQueue& queue, PollWaiter& waiter) : queue(queue), waiter(waiter) {}
  PollQueue& queue;
  PollWaiter& waiter;
};

PollQueue::~PollQueue() { ASSERT(entries_.empty()); }

void PollQueue::notify() {
  // Pairs with watch(): either the change is seen by the look that follows watch(), or the entry is seen
  // here.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!watched_.load(std::memory_order_relaxed)) return;
  SpinGuard guard(lock_);
  for (Entry& entry : entries_) entry.waiter.notify();
}

void PollWaiter::notify() {
  {
    SpinGuard guard(lock_);
    notified_ = true;
  }
  sleeper_.wake_all();
}

void PollWaiter::watch(PollQueue& queue) {
  Result<Box<PollQueue::Entry>> made = make_box<PollQueue::Entry>(queue, *this);
  if (!made) return notify();
  PollQueue::Entry& entry = *made->release();
  entries_.push_back(entry);
  {
    SpinGuard guard(queue.lock_);
    queue.entries_.push_back(entry);
    queue.watched_.store(true, std::memory_order_relaxed);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

PollWaiter::~PollWaiter() {
  while (PollQueue::Entry* entry = entries_.pop_front()) {
    SpinGuard guard(entry->queue.lock_);
    static_cast<ListNode<PollQueue::InQueue>&>(*entry).unlink();
    if (entry->queue.entries_.empty()) entry->queue.watched_.store(false, std::memory_order_relaxed);
    guard.release();
    Box<PollQueue::Entry>{entry}.reset();
  }
}

Result<> PollWaiter::wait(std::optional<Ticks> deadline) {
  SpinGuard guard(lock_);
  const Result<> outcome = sleeper_.wait_until_interruptible(
      guard, [this] { return notified_; }, deadline.value_or(Ticks::forever()));
  notified_ = false;
  return outcome;
}

}  // namespace faultline
