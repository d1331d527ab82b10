// Resource usage, limits, and what programs say about their scheduling: it is kept, but all threads are
// equal.

#include "kernel/dev/clock.hpp"
#include "kernel/proc/access.hpp"
#include "kernel/proc/exit.hpp"
#include "kernel/proc/fork.hpp"
#include "kernel/proc/process_table.hpp"
#include "kernel/proc/user_thread.hpp"
#include "kernel/riscv/hart.hpp"
#include "kernel/sched/scheduler.hpp"
#include "kernel/syscall/resource_use.hpp"
#include "kernel/syscall/system_calls.hpp"

namespace faultline::system_call {

Value getrusage(std::int32_t who, UserPointer<abi::ResourceUse> place) {
  enum : std::int32_t { kSelf = 0, kChildren = -1, kThread = 1 };
  Process& process = Process::current();
  ResourceUsage usage;
  switch (who) {
    case kSelf: {
      SpinGuard guard(process_lock);
      usage = usage_of(process, guard);
      break;
    }
    case kChildren: {
      SpinGuard guard(process_lock);
      usage = process.children_usage;
      break;
    }
    case kThread:
      usage.add(Thread::current().cpu_time());
      break;
    default:
      return failure(KernelError::InvalidArgument);
  }
  TRY(place.write(to_abi(usage)));
  return 0;
}

namespace {

// Anybody may lower a limit, and move the soft one up to the hard one.
Result<> set_limit(Process& process, Resource resource, const ResourceLimit& limit) {
  if (limit.soft > limit.hard) return failure(KernelError::InvalidArgument);
  if (resource == Resource::OpenFiles && limit.hard > FileTable::kMaxLimit)
    return failure(KernelError::NotPermitted);
  if (limit.hard > process.limits.of(resource).hard && !Process::current().credentials.privileged())
    return failure(KernelError::NotPermitted);
  process.limits.set(resource, limit);
  return {};
}

// The limits that a process's memory itself keeps; exec hands them on to the next program's.
std::uint64_t MemoryLimits::* memory_limit(Resource resource) {
  switch (resource) {
    case Resource::AddressSpace:
      return &MemoryLimits::address_space;
    case Resource::Data:
      return &MemoryLimits::data;
    case Resource::Stack:
      return &MemoryLimits::stack;
    case Resource::LockedMemory:
      return &MemoryLimits::locked;
    default:
      return nullptr;
  }
}

// The process a limit is asked of; another one only if all its users and groups are the caller's own.
Result<Ref<Process>> process_to_limit(ProcessId id, const SpinGuard&) {
  Process& current = Process::current();
  Process* const process = id == 0 ? &current : process_table.find_by_thread(id);
  if (process == nullptr || process->threads.empty()) return failure(KernelError::NoSuchProcess);
  const ProcessCredentials& own = current.credentials;
  const ProcessCredentials& its = process->credentials;
  const bool same = own.user == its.user && own.user == its.effective_user && own.user == its.saved_user &&
                    own.group == its.group && own.group == its.effective_group &&
                    own.group == its.saved_group;
  if (process != &current && !same && !own.privileged()) return failure(KernelError::NotPermitted);
  return Ref<Process>::share(*process);
}

}  // namespace

Value prlimit64(std::int32_t id, std::uint32_t number, UserPointer<abi::ResourceLimit> new_limit,
                UserPointer<abi::ResourceLimit> old_limit) {
  if (number >= kResourceCount) return failure(KernelError::InvalidArgument);
  const auto resource = static_cast<Resource>(number);
  std::optional<abi::ResourceLimit> wanted;
  if (!new_limit.null()) wanted = TRY(new_limit.read());
  Ref<Process> process;
  Ref<AddressSpace> memory;
  ResourceLimit before;
  {
    SpinGuard guard(process_lock);
    process = TRY(process_to_limit(id, guard));
    before = process->limits.of(resource);
    memory = process->memory;
    if (wanted) TRY(set_limit(*process, resource, {.soft = wanted->soft, .hard = wanted->hard}));
  }
  if (const auto limit = memory_limit(resource); wanted && limit != nullptr && memory)
    memory->mm().set_limit(limit, wanted->soft);
  if (wanted && resource == Resource::CpuSeconds) process->cpu_time_limit.arm();
  if (!old_limit.null()) TRY(old_limit.write({.soft = before.soft, .hard = before.hard}));
  return 0;
}

Value getrlimit(std::uint32_t resource, UserPointer<abi::ResourceLimit> limit) {
  return prlimit64(0, resource, UserPointer<abi::ResourceLimit>(), limit);
}

Value setrlimit(std::uint32_t resource, UserPointer<abi::ResourceLimit> limit) {
  return prlimit64(0, resource, limit, UserPointer<abi::ResourceLimit>());
}

Value sched_yield() {
  scheduler::yield();
  return 0;
}

namespace {

// Calls f(UserThread&) on the thread with this number (0: the current one) under process_lock.
template <class F>
Value with_thread(std::int32_t id, F f) {
  if (id < 0) return failure(KernelError::InvalidArgument);
  SpinGuard guard(process_lock);
  UserThread* thread = id == 0 ? &UserThread::current() : process_table.find_thread(id);
  if (thread == nullptr) return failure(KernelError::NoSuchProcess);
  return f(*thread);
}

}  // namespace

Value sched_getaffinity(std::int32_t id, std::uint64_t size, Address mask) {
  std::uint64_t harts = 0;
  if (size < sizeof(harts) || size % sizeof(harts) != 0) return failure(KernelError::InvalidArgument);
  if (id < 0) return failure(KernelError::NoSuchProcess);
  harts = TRY(with_thread(
      id, [](UserThread& thread) { return Value(thread.allowed_harts & online_harts().bits()); }));
  TRY(UserPointer<std::uint64_t>(mask).write(harts));
  return sizeof(harts);
}

Value sched_setaffinity(std::int32_t id, std::uint64_t size, Address mask) {
  std::uint64_t harts = 0;
  TRY(copy_from_user(std::as_writable_bytes(std::span(&harts, 1)).first(std::min(size, sizeof(harts))),
                     mask));
  harts &= online_harts().bits();
  if (id < 0) return failure(KernelError::NoSuchProcess);
  TRY(with_thread(id, [harts](UserThread& thread) -> Value {
    if (!access::may_schedule(*thread.process)) return failure(KernelError::NotPermitted);
    if (harts == 0) return failure(KernelError::InvalidArgument);
    scheduler::allow_harts(thread, harts);
    return 0;
  }));
  scheduler::yield();
  return 0;
}

namespace {

enum Policy : std::uint32_t { kOther = 0, kFirstInFirstOut = 1, kRoundRobin = 2, kBatch = 3, kIdle = 5 };
constexpr std::uint32_t kResetOnFork = 0x40000000;
constexpr std::int32_t kMaxRealTimePriority = 99;

bool is_real_time(std::uint32_t policy) { return policy == kFirstInFirstOut || policy == kRoundRobin; }

// Each policy has its own range of priorities; real-time ones are root's, or within RLIMIT_RTPRIO.
Result<> check_policy(const UserThread& thread, std::uint32_t policy, std::int32_t priority) {
  if (policy > kBatch && policy != kIdle) return failure(KernelError::InvalidArgument);
  const bool valid = is_real_time(policy) ? priority >= 1 && priority <= kMaxRealTimePriority : priority == 0;
  if (!valid) return failure(KernelError::InvalidArgument);
  if (!access::may_schedule(*thread.process)) return failure(KernelError::NotPermitted);
  const bool within =
      static_cast<std::uint64_t>(priority) <= thread.process->limits.soft(Resource::RealTimePriority) ||
      priority <= thread.scheduling.priority;
  if (is_real_time(policy) && !within && !Process::current().credentials.privileged())
    return failure(KernelError::NotPermitted);
  return {};
}

Value set_policy(std::int32_t id, std::optional<std::uint32_t> policy, std::int32_t priority) {
  return with_thread(id, [=](UserThread& thread) -> Value {
    SchedulingPolicy& kept = thread.scheduling;
    const std::uint32_t wanted = policy ? *policy & ~kResetOnFork : kept.policy;
    TRY(check_policy(thread, wanted, priority));
    kept.policy = wanted;
    kept.priority = priority;
    if (policy) kept.reset_on_fork = (*policy & kResetOnFork) != 0;
    return 0;
  });
}

}  // namespace

Value sched_getscheduler(std::int32_t id) {
  return with_thread(id, [](UserThread& thread) {
    const SchedulingPolicy& kept = thread.scheduling;
    return Value(kept.policy | (kept.reset_on_fork ? kResetOnFork : 0));
  });
}

Value sched_setscheduler(std::int32_t id, std::int32_t policy, UserPointer<std::int32_t> parameter) {
  if (policy < 0) return failure(KernelError::InvalidArgument);
  return set_policy(id, static_cast<std::uint32_t>(policy), TRY(parameter.read()));
}

Value sched_setparam(std::int32_t id, UserPointer<std::int32_t> parameter) {
  return set_policy(id, std::nullopt, TRY(parameter.read()));
}

Value sched_getparam(std::int32_t id, UserPointer<std::int32_t> parameter) {
  const std::uint64_t priority = TRY(with_thread(
      id, [](UserThread& thread) { return Value(static_cast<std::uint64_t>(thread.scheduling.priority)); }));
  TRY(parameter.write(static_cast<std::int32_t>(priority)));
  return 0;
}

Value sched_get_priority_max(std::uint32_t policy) {
  if (is_real_time(policy)) return kMaxRealTimePriority;
  return policy <= kBatch || policy == kIdle ? Value(0) : failure(KernelError::InvalidArgument);
}

Value sched_get_priority_min(std::uint32_t policy) {
  if (is_real_time(policy)) return 1;
  return sched_get_priority_max(policy);
}

// A first-in-first-out thread has no slice, which 0 says; all others have the same.
Value sched_rr_get_interval(std::int32_t id, UserPointer<abi::TimeSpec> interval) {
  const std::uint64_t nanoseconds = TRY(with_thread(id, [](UserThread& thread) {
    return Value(thread.scheduling.policy == kFirstInFirstOut ? 0 : scheduler::kSliceNanoseconds);
  }));
  TRY(interval.write(abi::to_time_spec(clock::from_nanoseconds(nanoseconds))));
  return 0;
}

namespace {

constexpr std::int32_t kLowestNice = -20, kHighestNice = 19, kNiceBase = 20;

// The threads that getpriority and setpriority are about: one, those of a group, or those of a user. Calls
// f(UserThread&) on each; false when there is none.
template <class F>
Result<bool> for_each_of(std::int32_t which, std::int32_t who, const SpinGuard&, F f) {
  enum : std::int32_t { kThread = 0, kGroup = 1, kUser = 2 };
  if (which < kThread || which > kUser) return failure(KernelError::InvalidArgument);
  bool any = false;
  const auto visit = [&](UserThread& thread) {
    any = true;
    f(thread);
  };
  if (which == kThread) {
    UserThread* const thread = who == 0 ? &UserThread::current() : process_table.find_thread(who);
    if (thread != nullptr) visit(*thread);
    return any;
  }
  const Process& current = Process::current();
  for (Process* process = process_table.next(0); process != nullptr;
       process = process_table.next(process->id)) {
    const bool meant = which == kGroup
                           ? process->group->id == (who == 0 ? current.group->id : who)
                           : process->credentials.user ==
                                 (who == 0 ? current.credentials.user : static_cast<std::uint32_t>(who));
    if (!meant) continue;
    for (UserThread& thread : process->threads) visit(thread);
  }
  return any;
}

// Whoever may change a thread may make it nicer; less nice only as far as RLIMIT_NICE goes.
Result<> set_nice(UserThread& thread, std::int32_t nice) {
  const Process& process = *thread.process;
  if (!access::may_schedule(process)) return failure(KernelError::NotPermitted);
  const bool within = static_cast<std::uint64_t>(kNiceBase - nice) <= process.limits.soft(Resource::Nice);
  if (nice < thread.scheduling.nice && !within && !Process::current().credentials.privileged())
    return failure(KernelError::AccessDenied);
  thread.scheduling.nice = nice;
  return {};
}

}  // namespace

Value getpriority(std::int32_t which, std::int32_t who) {
  SpinGuard guard(process_lock);
  std::int32_t best = 0;  // the interface returns 20 - nice, which is positive
  const bool any = TRY(for_each_of(which, who, guard, [&](const UserThread& thread) {
    best = std::max(best, kNiceBase - thread.scheduling.nice);
  }));
  if (!any) return failure(KernelError::NoSuchProcess);
  return static_cast<std::uint64_t>(best);
}

Value setpriority(std::int32_t which, std::int32_t who, std::int32_t nice) {
  nice = std::clamp(nice, kLowestNice, kHighestNice);
  SpinGuard guard(process_lock);
  Result<> outcome;
  const bool any = TRY(for_each_of(which, who, guard, [&](UserThread& thread) {
    if (const Result<> done = set_nice(thread, nice); !done) outcome = done;
  }));
  if (!any) return failure(KernelError::NoSuchProcess);
  TRY(outcome);
  return 0;
}

Value getcpu(UserPointer<std::uint32_t> cpu, UserPointer<std::uint32_t> node) {
  if (!cpu.null()) TRY(cpu.write(static_cast<std::uint32_t>(platform::current_hart())));
  if (!node.null()) TRY(node.write(0));
  return 0;
}

}  // namespace faultline::system_call
