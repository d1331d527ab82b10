// Threads that wait for a condition, and those that wake them, in each order that matters.

#include "kernel/sync/wait_queue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "kernel/sched/scheduler.hpp"
#include "kernel/sync/mutex.hpp"

using namespace faultline;
using State = Thread::State;

namespace {

Thread sleeper;

/// What others do at a moment of the sleeper's way to sleep: once.
enum class Moment { BeforeAnnouncement, AfterAnnouncement, BeforeSwitch, Asleep };
struct Other {
  Moment when;
  std::function<void()> does;
};
std::vector<Other> others;

void reach(Moment moment) {
  const auto found = std::ranges::find(others, moment, &Other::when);
  if (found == others.end()) return;
  const auto does = found->does;
  others.erase(found);
  does();
}

}  // namespace

Thread& Thread::current() { return sleeper; }

void scheduler::begin_block(bool) {
  reach(Moment::BeforeAnnouncement);
  sleeper.state = State::Blocking;
  reach(Moment::AfterAnnouncement);
}

void scheduler::cancel_block() { sleeper.state = State::Running; }

void scheduler::block() {
  reach(Moment::BeforeSwitch);
  if (sleeper.state == State::Blocking) {
    sleeper.state = State::Blocked;
    reach(Moment::Asleep);
    if (sleeper.state == State::Blocked) FAIL_CHECK("asleep for ever");
  }
  sleeper.state = State::Running;
}

void scheduler::wake(Thread& thread) {
  if (thread.state == State::Blocking) thread.state = State::Woken;
  if (thread.state == State::Blocked) thread.state = State::Runnable;
}

namespace {

const Moment kMoments[] = {Moment::BeforeAnnouncement, Moment::AfterAnnouncement, Moment::BeforeSwitch};

/// A condition and its queue, and whoever makes it true.
struct Awaited {
  SpinLock lock{LockRank::Condition};
  WaitQueue queue;
  bool condition = false;
  void come_true() {
    SpinGuard guard(lock);
    condition = true;
    guard.release();
    queue.wake_one();
  }
  void wait() {
    SpinGuard guard(lock);
    queue.wait_until(guard, [this] { return condition; });
  }
};

}  // namespace

TEST_SUITE_BEGIN("wait queues");

TEST_CASE("who sleeps is woken when the condition comes true, before the switch or after it") {
  for (Moment moment : {Moment::BeforeSwitch, Moment::Asleep}) {
    Awaited awaited;
    others = {{moment, [&] { awaited.come_true(); }}};
    awaited.wait();
    CHECK(others.empty());
  }
}

TEST_CASE("a wake that was meant for an earlier change, whenever it comes, does not cost the later one") {
  for (Moment moment : kMoments) {
    Awaited awaited;
    others = {{moment, [&] { awaited.queue.wake_one(); }}, {Moment::Asleep, [&] { awaited.come_true(); }}};
    awaited.wait();
    CHECK(others.empty());
  }
}

TEST_CASE(
    "a signal that comes before the switch ends an interruptible sleep, and nobody stays in the queue") {
  for (Moment moment : kMoments) {
    Awaited awaited;
    others = {{moment, [] {
                 sleeper.signal_pending = true;
                 scheduler::wake(sleeper);
               }}};
    {
      SpinGuard guard(awaited.lock);
      CHECK(awaited.queue.sleep_interruptible(guard).error() == KernelError::Interrupted);
    }
    CHECK(awaited.queue.wake_one() == 0);
    sleeper.signal_pending = false;
  }
}

TEST_CASE("a wake for one counts as taken even if a signal comes as well") {
  Awaited awaited;
  others = {{Moment::Asleep, [&] {
               awaited.come_true();
               sleeper.signal_pending = true;
             }}};
  SpinGuard guard(awaited.lock);
  CHECK(awaited.queue.sleep_interruptible(guard).has_value());
  sleeper.signal_pending = false;
}

TEST_CASE(
    "a contended mutex is handed on: its holder's release wakes who waits, before the switch or after it") {
  for (Moment moment : {Moment::BeforeSwitch, Moment::Asleep}) {
    Mutex mutex;
    mutex.lock();
    others = {{moment, [&] { mutex.unlock(); }}};
    mutex.lock();
    CHECK(others.empty());
    CHECK(mutex.is_held());
    mutex.unlock();
  }
}

TEST_SUITE_END();
