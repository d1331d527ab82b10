// Resource usage, limits, and what little there is to say about scheduling: all threads are equal.

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

enum Resource : std::uint32_t { kStack = 3, kProcesses = 6, kOpenFiles = 7, kResourceCount = 16 };
constexpr std::uint64_t kUnlimited = UINT64_MAX;

abi::ResourceLimit limit_of(const Process& process, std::uint32_t resource) {
  switch (resource) {
    case kStack:
      return {.soft = kUserStackBytes, .hard = kUserStackBytes};
    case kProcesses:
      return {.soft = user_thread_limit(), .hard = user_thread_limit()};
    case kOpenFiles:
      return {.soft = process.files->limit(), .hard = FileTable::kMaxLimit};
    default:
      return {.soft = kUnlimited, .hard = kUnlimited};
  }
}

// Only the number of open files can be changed. Other limits may be asked for as they are, or as no limit
// where there is none; a lower one would be a promise that nobody keeps.
Result<> set_limit(Process& process, std::uint32_t resource, const abi::ResourceLimit& limit) {
  if (limit.soft > limit.hard) return failure(KernelError::InvalidArgument);
  if (resource == kOpenFiles) {
    if (limit.hard > FileTable::kMaxLimit) return failure(KernelError::NotPermitted);
    process.files->set_limit(static_cast<unsigned>(limit.soft));
    return {};
  }
  const abi::ResourceLimit now = limit_of(process, resource);
  return limit.soft >= now.soft ? Result<>() : failure(KernelError::NotPermitted);
}

}  // namespace

Value prlimit64(std::int32_t id, std::uint32_t resource, UserPointer<abi::ResourceLimit> new_limit,
                UserPointer<abi::ResourceLimit> old_limit) {
  if (resource >= kResourceCount) return failure(KernelError::InvalidArgument);
  Process& process = Process::current();
  if (id != 0 && id != process.id) {
    SpinGuard guard(process_lock);
    return failure(process_table.find(id) == nullptr ? KernelError::NoSuchProcess
                                                     : KernelError::NotPermitted);
  }
  const abi::ResourceLimit before = limit_of(process, resource);
  if (!new_limit.null()) TRY(set_limit(process, resource, TRY(new_limit.read())));
  if (!old_limit.null()) TRY(old_limit.write(before));
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

// Calls f(Thread&) on the thread with this number (0: the current one) under process_lock.
template <class F>
Value with_thread(std::int32_t id, F f) {
  SpinGuard guard(process_lock);
  UserThread* thread = id == 0 ? &UserThread::current() : process_table.find_thread(id);
  if (thread == nullptr) return failure(KernelError::NoSuchProcess);
  return f(*thread);
}

Value check_thread(std::int32_t id) {
  if (id < 0) return failure(KernelError::InvalidArgument);
  return with_thread(id, [](Thread&) { return Value(0); });
}

}  // namespace

Value sched_getaffinity(std::int32_t id, std::uint64_t size, Address mask) {
  std::uint64_t harts = 0;
  if (size < sizeof(harts) || size % sizeof(harts) != 0) return failure(KernelError::InvalidArgument);
  harts = TRY(
      with_thread(id, [](Thread& thread) { return Value(thread.allowed_harts & online_harts().bits()); }));
  TRY(UserPointer<std::uint64_t>(mask).write(harts));
  return sizeof(harts);
}

Value sched_setaffinity(std::int32_t id, std::uint64_t size, Address mask) {
  std::uint64_t harts = 0;
  TRY(copy_from_user(std::as_writable_bytes(std::span(&harts, 1)).first(std::min(size, sizeof(harts))),
                     mask));
  harts &= online_harts().bits();
  if (harts == 0) return failure(KernelError::InvalidArgument);
  TRY(with_thread(id, [harts](Thread& thread) {
    thread.allowed_harts = harts;
    return Value(0);
  }));
  scheduler::yield();
  return 0;
}

Value sched_getscheduler(std::int32_t id) { return check_thread(id); }  // SCHED_OTHER

Value sched_setscheduler(std::int32_t id, std::int32_t policy, UserPointer<std::int32_t> parameter) {
  const std::int32_t priority = TRY(parameter.read());
  if (policy != 0 || priority != 0) return failure(KernelError::InvalidArgument);
  return check_thread(id);
}

Value sched_getparam(std::int32_t id, UserPointer<std::int32_t> parameter) {
  TRY(check_thread(id));
  TRY(parameter.write(0));
  return 0;
}

Value sched_get_priority_limit(std::int32_t policy) {
  return policy == 0 ? Value(0) : failure(KernelError::InvalidArgument);
}

Value getpriority(std::int32_t which, std::int32_t) {
  constexpr std::int32_t kLastKind = 2;
  constexpr std::uint64_t kNiceZero = 20;  // the interface returns 20 - nice
  return which >= 0 && which <= kLastKind ? Value(kNiceZero) : failure(KernelError::InvalidArgument);
}

Value setpriority(std::int32_t which, std::int32_t, std::int32_t value) {
  constexpr std::int32_t kLastKind = 2;
  if (which < 0 || which > kLastKind) return failure(KernelError::InvalidArgument);
  return value == 0 ? Value(0) : failure(KernelError::AccessDenied);
}

Value getcpu(UserPointer<std::uint32_t> cpu, UserPointer<std::uint32_t> node) {
  if (!cpu.null()) TRY(cpu.write(static_cast<std::uint32_t>(platform::current_hart())));
  if (!node.null()) TRY(node.write(0));
  return 0;
}

}  // namespace faultline::system_call
