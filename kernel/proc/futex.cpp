#include "kernel/proc/futex.hpp"

#include "kernel/proc/process.hpp"
#include "kernel/proc/user_memory.hpp"
#include "kernel/proc/user_thread.hpp"
#include "kernel/sync/parking.hpp"

namespace faultline::futex {

namespace {

Result<Va> checked_address(std::uint64_t address) {
  if (address % sizeof(std::uint32_t) != 0) return failure(KernelError::InvalidArgument);
  const std::optional<Va> va = Va::from(address);
  if (!va || address + sizeof(std::uint32_t) > kUserEnd) return failure(KernelError::BadAddress);
  return *va;
}

Result<parking::Key> key_of(Va va, Scope scope) {
  Process& process = Process::current();
  if (scope == Scope::Shared) {
    if (const auto shared = TRY(process.mm().shared_location(va))) {
      return parking::Key{reinterpret_cast<std::uint64_t>(shared->file), shared->offset};
    }
  }
  return parking::Key{reinterpret_cast<std::uint64_t>(process.memory.get()), va.value()};
}

}  // namespace

Result<> wait(std::uint64_t address, Scope scope, std::uint32_t expected, Ticks deadline,
              std::uint32_t mask) {
  const Va va = TRY(checked_address(address));
  SystemMm& mm = Process::current().mm();
  for (;;) {
    // Brings the page into memory, so that the look under the bucket's lock, which must not sleep, finds it.
    if (TRY(mm.copy_in<std::uint32_t>(va)) != expected) return failure(KernelError::TryAgain);
    const parking::Key key = TRY(key_of(va, scope));
    bool page_gone = false;
    const Result<> result = parking::park(
        key,
        [&] {
          const std::optional<std::uint32_t> value = mm.try_load_word(va);
          page_gone = !value;
          return value == expected;
        },
        deadline, parking::Sleep::Interruptible, mask);
    if (!page_gone) return result;
  }
}

// A shared futex is named by what is mapped at its address: there must be something. A private one is named
// by the address alone.
namespace {
Result<parking::Key> key_of_mapped(std::uint64_t address, Scope scope) {
  const Va va = TRY(checked_address(address));
  if (scope == Scope::Shared) TRY(Process::current().mm().copy_in<std::uint32_t>(va));
  return key_of(va, scope);
}
}  // namespace

Result<unsigned> wake(std::uint64_t address, Scope scope, unsigned count, std::uint32_t mask) {
  return parking::unpark(TRY(key_of_mapped(address, scope)), count, mask);
}

Result<unsigned> requeue(std::uint64_t address, std::uint64_t target, Scope scope, unsigned wake_count,
                         unsigned move_count, const std::uint32_t* expected) {
  const Va va = TRY(checked_address(address));
  const parking::Key from = TRY(key_of_mapped(address, scope));
  const parking::Key to = TRY(key_of_mapped(target, scope));
  SystemMm& mm = Process::current().mm();
  for (;;) {
    if (expected != nullptr && TRY(mm.copy_in<std::uint32_t>(va)) != *expected)
      return failure(KernelError::TryAgain);
    bool page_gone = false;
    const Result<parking::Requeued> result = parking::unpark_requeue(from, wake_count, to, move_count, [&] {
      if (expected == nullptr) return true;
      const std::optional<std::uint32_t> value = mm.try_load_word(va);
      page_gone = !value;
      return value == *expected;
    });
    if (page_gone) continue;
    const parking::Requeued done = TRY(result);
    return done.woken + done.moved;
  }
}

namespace {

// The word of a robust futex: its owner's number and two flags (Linux, "The robust futex ABI").
constexpr std::uint32_t kOwnerMask = 0x3fff'ffff, kOwnerDied = 0x4000'0000, kWaiters = 0x8000'0000;
constexpr unsigned kMaxRobustFutexes = 2048;  // a list in user memory may be a ring without its head

struct RobustListHead {
  std::uint64_t first;
  std::int64_t futex_offset;
  std::uint64_t pending;
};

// Whatever is wrong with the word, there is nobody left to tell.
void mark_owner_died(std::uint64_t address, std::int32_t owner) {
  const std::optional<Va> va = Va::from(address);
  if (!va || address % sizeof(std::uint32_t) != 0) return;
  SystemMm& mm = Process::current().mm();
  Result<std::uint32_t> word = mm.copy_in<std::uint32_t>(*va);
  while (word && (*word & kOwnerMask) == static_cast<std::uint32_t>(owner)) {
    const Result<bool> exchanged = mm.compare_exchange_word(*va, *word, (*word & kWaiters) | kOwnerDied);
    if (!exchanged) return;
    if (!*exchanged) continue;
    if ((*word & kWaiters) != 0) (void)wake(address, Scope::Shared, 1, UINT32_MAX);
    return;
  }
}

void release_robust_futexes(UserThread& thread) {
  const UserPointer<RobustListHead> place(thread.robust_list);
  const Result<RobustListHead> head = place.read();
  if (!head) return;
  std::uint64_t entry = head->first;
  for (unsigned i = 0; i < kMaxRobustFutexes && entry != place.address(); ++i) {
    // The next one is read first: once released, the entry belongs to somebody else.
    const Result<std::uint64_t> next = UserPointer<std::uint64_t>(entry).read();
    if (entry != head->pending)
      mark_owner_died(entry + static_cast<std::uint64_t>(head->futex_offset), thread.id);
    if (!next) break;
    entry = *next;
  }
  if (head->pending != 0) {
    mark_owner_died(head->pending + static_cast<std::uint64_t>(head->futex_offset), thread.id);
  }
}

}  // namespace

void release_at_exit(UserThread& thread) {
  if (thread.robust_list != 0) release_robust_futexes(thread);
  thread.robust_list = 0;
  if (thread.clear_child_tid == 0) return;
  // Nobody else can see memory that goes with this thread, and writing to it would break a copy-on-write.
  const bool alone = thread.process->memory->references() == 1 && thread.process->threads_alive == 1;
  if (!alone && UserPointer<std::int32_t>(thread.clear_child_tid).write(0)) {
    (void)wake(thread.clear_child_tid, Scope::Shared, 1, UINT32_MAX);
  }
  thread.clear_child_tid = 0;
}

}  // namespace faultline::futex
