#include "kernel/fs/file_lock.hpp"

#include <algorithm>
#include <utility>

#include "kernel/lib/spin_lock.hpp"

namespace faultline {

namespace {
constinit SpinLock lock{LockRank::Condition};  // covers every FileLocks and the list of waiters
}

struct FileLocks::Held : ListNode<>, FileLock {
  explicit Held(const FileLock& held) : FileLock(held) {}
};

/// Who sleeps for a range, on the sleeper's stack.
struct FileLocks::Waiter : ListNode<> {
  Waiter(LockOwner waiting_owner, LockOwner first_in_the_way)
      : owner(waiting_owner), holder(first_in_the_way) {
    waiters().push_back(*this);
  }
  ~Waiter() { unlink(); }
  LockOwner owner;
  LockOwner holder;
};

/// What a change may need, got without the lock: the new range, and the second half of one that it cuts.
struct FileLocks::Spares {
  static Result<Spares> allocate() {
    Spares spares;
    spares.added = TRY(make_box<Held>(FileLock{}));
    spares.cut_off = TRY(make_box<Held>(FileLock{}));
    return spares;
  }
  Box<Held> added, cut_off;
  List<Held> released;  // freed with the spares, when the lock is not held any more

  Spares() = default;
  Spares(Spares&& other) noexcept : added(std::move(other.added)), cut_off(std::move(other.cut_off)) {}
  ~Spares() {
    while (Held* const held = released.pop_front()) Box<Held>{held}.reset();
  }
};

FileLocks::~FileLocks() { ASSERT(whole_.empty() && ranges_.empty()); }

List<FileLocks::Waiter>& FileLocks::waiters() {
  alignas(List<Waiter>) static constinit std::byte storage[sizeof(List<Waiter>)]{};
  static constinit List<Waiter>* list = nullptr;
  if (list == nullptr) list = ::new (storage) List<Waiter>();
  return *list;
}

const FileLocks::Held* FileLocks::conflict(Kind kind, const FileLock& wanted) const {
  for (const Held& held : kind == Kind::WholeFile ? whole_ : ranges_) {
    if (held.owner != wanted.owner && held.overlaps(wanted) && (held.exclusive || wanted.exclusive))
      return &held;
  }
  return nullptr;
}

/// True when `holder` waits for `waiter`, be it through others. Threads of one process may wait for several
/// locks; the one that began first is followed.
bool FileLocks::closes_circle(LockOwner waiter, LockOwner holder) {
  for (std::size_t steps = 0; holder != waiter; ++steps) {
    const auto& all = waiters();
    const auto next =
        std::find_if(all.begin(), all.end(), [&](const Waiter& other) { return other.owner == holder; });
    constexpr std::size_t kLongestChain = 1000;  // a circle that `waiter` has no part in
    if (next == all.end() || steps == kLongestChain) return false;
    holder = next->holder;
  }
  return true;
}

/// Makes `wanted` what its owner holds in its range: the lock, or nothing. Joins it to neighbours of its
/// sort.
void FileLocks::replace(Kind kind, const FileLock& wanted, bool hold, Spares& spares) {
  FileLock joined = wanted;
  for (auto at = list(kind).begin(); at != list(kind).end();) {
    Held& held = *at++;
    if (held.owner != wanted.owner || held.start > wanted.end || held.end < wanted.start) continue;
    if (hold && held.exclusive == wanted.exclusive) {
      joined.start = std::min(joined.start, held.start);
      joined.end = std::max(joined.end, held.end);
    } else if (!held.overlaps(wanted)) {
      continue;
    } else if (held.start < wanted.start) {
      if (held.end > wanted.end) {
        Held& rest = *spares.cut_off.release();
        static_cast<FileLock&>(rest) = static_cast<const FileLock&>(held);
        rest.start = wanted.end;
        list(kind).push_front(rest);  // not met again
      }
      held.end = wanted.start;
      continue;
    } else if (held.end > wanted.end) {
      held.start = wanted.end;
      continue;
    }
    held.unlink();
    spares.released.push_back(held);
  }
  if (!hold) return;
  Held& added = *spares.added.release();
  static_cast<FileLock&>(added) = joined;
  list(kind).push_back(added);
}

void FileLocks::give_up_other_sort(const FileLock& wanted, Spares& spares) {
  const auto own = std::find_if(whole_.begin(), whole_.end(),
                                [&](const Held& held) { return held.owner == wanted.owner; });
  if (own == whole_.end() || own->exclusive == wanted.exclusive) return;
  own->unlink();
  spares.released.push_back(*own);
  changed_.wake_all();
}

Result<> FileLocks::take(Kind kind, const FileLock& wanted, Wait wait) {
  Spares spares = TRY(Spares::allocate());
  SpinGuard guard(lock);
  if (kind == Kind::WholeFile) give_up_other_sort(wanted, spares);
  for (;;) {
    const Held* const in_the_way = conflict(kind, wanted);
    if (in_the_way == nullptr) break;
    if (wait == Wait::No) return failure(KernelError::TryAgain);
    if (kind == Kind::WholeFile || wanted.process == FileLock::kNoProcess) {
      TRY(changed_.sleep_interruptible(guard));
      continue;
    }
    if (closes_circle(wanted.owner, in_the_way->owner)) return failure(KernelError::Deadlock);
    const Waiter waiter(wanted.owner, in_the_way->owner);
    TRY(changed_.sleep_interruptible(guard));
  }
  replace(kind, wanted, true, spares);
  // A lock that has become a shared one lets others in.
  changed_.wake_all();
  guard.release();
  return {};
}

Result<> FileLocks::release(Kind kind, const FileLock& range) {
  Spares spares = TRY(Spares::allocate());
  SpinGuard guard(lock);
  replace(kind, range, false, spares);
  changed_.wake_all();
  guard.release();
  return {};
}

void FileLocks::release_all(Kind kind, LockOwner owner) {
  Spares spares;
  SpinGuard guard(lock);
  // Nothing is cut, so nothing is needed.
  replace(kind, FileLock{.owner = owner}, false, spares);
  changed_.wake_all();
  guard.release();
}

std::optional<FileLock> FileLocks::find_conflict(Kind kind, const FileLock& wanted) const {
  const SpinGuard guard(lock);
  // The lowest one: callers go through a file by asking again behind it.
  std::optional<FileLock> first;
  for (const Held& held : kind == Kind::WholeFile ? whole_ : ranges_) {
    if (held.owner == wanted.owner || !held.overlaps(wanted) || !(held.exclusive || wanted.exclusive))
      continue;
    if (!first || held.start < first->start) first = held;
  }
  return first;
}

}  // namespace faultline
