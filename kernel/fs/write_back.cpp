#include "kernel/fs/write_back.hpp"

#include "kernel/dev/clock.hpp"
#include "kernel/dev/console.hpp"
#include "kernel/fs/file_system.hpp"
#include "kernel/mm/platform.hpp"
#include "kernel/sched/scheduler.hpp"
#include "kernel/sync/wait_queue.hpp"

namespace faultline {
namespace {

// What a power failure may cost at most, beside what programs have asked to be written.
constexpr std::uint64_t kSecondsBetweenRounds = 5;

// 1 from a change until the round that looks for it. The round clears it first, so that a change that the
// round comes too early to see starts the next one.
std::atomic<std::uint32_t> change_noted = 0;

SpinLock lock{LockRank::Condition};
WaitQueue rounds;

void sleep_until_next_round() {
  SpinGuard guard(lock);
  const Ticks deadline = clock::now() + Ticks(kSecondsBetweenRounds * clock::ticks_per_second());
  (void)rounds.sleep_until(guard, deadline);  // ends by the deadline: that is what it is for
}

void write_back_changes() {
  change_noted.store(0);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for_each_mount([](FileSystem& file_system) {
    // Who needs to know of an error asks for it by fsync; what could not be written is tried again.
    if (file_system.has_changes()) (void)file_system.synchronize();
    if (file_system.has_changes()) note_unwritten_change();
  });
}

[[noreturn]] void write_back_thread(void*) {
  for (;;) {
    platform::wait_while_equal(change_noted, 0);
    sleep_until_next_round();
    write_back_changes();
  }
}

}  // namespace

void start_write_back() {
  Result<Ref<Thread>> thread =
      Thread::create("write-back", [](void*) { write_back_thread(nullptr); }, nullptr);
  if (!thread) {
    print("faultline: files are written back only when a program asks: {}\n", describe(thread.error()));
    return;
  }
  scheduler::start(*std::move(thread));
}

void note_unwritten_change() noexcept {
  // Either the round sees the change, or this sees that the round has cleared the word.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (change_noted.load(std::memory_order_relaxed) != 0) return;
  if (change_noted.exchange(1) == 0) platform::wake_waiters(change_noted);
}

void write_back_some() {
  (void)sync_all();  // what could not be written stays in memory; the caller finds out by looking at free
                     // memory
}

}  // namespace faultline
