#include "kernel/fs/file_lease.hpp"

#include "kernel/dev/clock.hpp"
#include "kernel/lib/spin_lock.hpp"

namespace faultline {

namespace {

struct HeldLease : ListNode<> {
  HeldLease(OpenFile& its_file, int its_descriptor, Lease its_kind)
      : file(its_file), descriptor(its_descriptor), kind(its_kind) {}
  OpenFile& file;
  int descriptor;
  Lease kind;
  Lease target = kind;  // another when it is to end
  Ticks deadline = Ticks::forever();

  bool ending() const { return target != kind; }
  bool against(bool writing) const { return writing || kind == Lease::Write; }
};

// Few programs have any, so all are in one list.
constinit SpinLock lock{LockRank::FileLease};
List<HeldLease> leases;
WaitQueue changed;
std::atomic<unsigned> count = 0;
std::atomic<std::size_t> break_time = 45;

HeldLease* find(const OpenFile& file) {
  for (HeldLease& held : leases)
    if (&held.file == &file) return &held;
  return nullptr;
}

Box<HeldLease> remove(HeldLease& held) {
  held.unlink();
  count.fetch_sub(1, std::memory_order_relaxed);
  changed.wake_all();
  return Box<HeldLease>{&held};
}

void begin_to_end(HeldLease& held, Lease target) {
  if (held.ending() && (held.target == Lease::None || target != Lease::None)) return;
  const std::size_t seconds = lease_break_time();
  if (!held.ending() && seconds != 0)
    held.deadline = clock::now() + clock::from_nanoseconds(seconds * kNanosecondsPerSecond);
  held.target = target;
  held.file.signals().tell(FileEvent::Message, held.descriptor);
}

// What the owner has not done in time is done for it.
void end_overdue(List<HeldLease>& ended) {
  const Ticks now = clock::now();
  for (auto at = leases.begin(); at != leases.end();) {
    HeldLease& held = *at++;
    if (!held.ending() || now < held.deadline) continue;
    held.kind = held.target;
    if (held.kind == Lease::None) ended.push_back(*remove(held).release());
  }
}

// Who opens the file, or cuts it off, counts in its inode before looking for leases, so one of the two is
// seen.
bool is_free_for(const OpenFile& file, Lease wanted) {
  const Inode& inode = *file.inode();
  if (wanted == Lease::Read) return inode.writers() <= 0;
  return inode.times_open() == 1 && inode.writers() == (file.flags().writable() ? 1 : 0);
}

}  // namespace

Result<> set_lease(OpenFile& file, int descriptor, Lease wanted, Ref<FileOwner> holder) {
  Box<HeldLease> made = TRY(make_box<HeldLease>(file, descriptor, wanted));
  Box<HeldLease> removed;
  SpinGuard guard(lock);
  HeldLease* const held = find(file);
  if (wanted == Lease::None) {
    if (held == nullptr) return failure(KernelError::TryAgain);
    removed = remove(*held);
    guard.release();
    return {};
  }
  // Counted before the look at who has the file open: break_leases does the two in the other order, so one of
  // the two threads sees the other.
  count.fetch_add(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const bool granted = is_free_for(file, wanted);
  if (!granted || held != nullptr) count.fetch_sub(1, std::memory_order_relaxed);
  if (!granted) return failure(KernelError::TryAgain);
  if (!file.signals().owner()) file.signals().set_owner(std::move(holder));
  if (held != nullptr) {
    held->kind = held->target = wanted;
    held->deadline = Ticks::forever();
    changed.wake_all();
  } else {
    leases.push_back(*made.release());
  }
  guard.release();
  return {};
}

Lease lease_of(const OpenFile& file) {
  const SpinGuard guard(lock);
  const HeldLease* const held = find(file);
  return held == nullptr ? Lease::None : held->target;
}

void release_lease(const OpenFile& file) {
  if (count.load(std::memory_order_relaxed) == 0) return;
  Box<HeldLease> removed;
  SpinGuard guard(lock);
  if (HeldLease* const held = find(file)) removed = remove(*held);
  guard.release();
}

Result<> break_leases(const Inode& file, bool writing, bool may_wait) {
  // Pairs with set_lease, which counts a lease before it looks at times_open().
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (count.load(std::memory_order_relaxed) == 0) return {};
  List<HeldLease> ended;
  Result<> outcome;
  SpinGuard guard(lock);
  while (outcome) {
    Ticks deadline = Ticks::forever();
    bool waits = false;
    for (HeldLease& held : leases) {
      if (held.file.inode() != &file || !held.against(writing)) continue;
      begin_to_end(held, writing ? Lease::None : Lease::Read);
      deadline = std::min(deadline, held.deadline);
      waits = true;
    }
    if (!waits) break;
    outcome = may_wait ? changed.sleep_interruptible_until(guard, deadline) : failure(KernelError::TryAgain);
    if (outcome || outcome.error() != KernelError::TimedOut) continue;
    end_overdue(ended);
    outcome = {};
  }
  guard.release();
  while (HeldLease* const held = ended.pop_front()) Box<HeldLease>{held}.reset();
  return outcome;
}

std::size_t lease_break_time() { return break_time.load(std::memory_order_relaxed); }

Result<> set_lease_break_time(std::uint64_t seconds) {
  if (seconds > INT32_MAX) return failure(KernelError::InvalidArgument);
  break_time.store(seconds, std::memory_order_relaxed);
  return {};
}

}  // namespace faultline
