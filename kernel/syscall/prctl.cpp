// prctl: what a thread or a process is told about itself, and how it wishes to be treated.

#include <cstring>

#include "kernel/proc/process.hpp"
#include "kernel/syscall/system_calls.hpp"

namespace faultline::system_call {

namespace {

Value set_name(Address address) {
  Thread& thread = Thread::current();
  char name[sizeof(thread.name)] = {};
  const Result<std::size_t> length = copy_string_from_user(std::span(name), address);
  if (!length && length.error() != KernelError::NameTooLong) return failure(length.error());
  name[sizeof(name) - 1] = '\0';
  SpinGuard guard(process_lock);
  std::memcpy(thread.name, name, sizeof(name));
  if (thread.id == thread.process->id) std::memcpy(thread.process->name, name, sizeof(name));
  return 0;
}

Value set_parent_death_signal(std::uint64_t number) {
  if (number > kSignalCount) return failure(KernelError::InvalidArgument);
  SpinGuard guard(process_lock);
  UserThread::current().parent_death_signal = signal_from(static_cast<std::int64_t>(number));
  return 0;
}

Value get_parent_death_signal(UserPointer<std::int32_t> place) {
  const std::optional<Signal> signal = UserThread::current().parent_death_signal;
  TRY(place.write(signal ? static_cast<std::int32_t>(number_of(*signal)) : 0));
  return 0;
}

Value set_dumpable(std::uint64_t value) {
  if (value > 1) return failure(KernelError::InvalidArgument);
  Process::current().dumpable = value == 1;
  return 0;
}

Value set_timer_slack(std::uint64_t nanoseconds) {
  TimerSlack& slack = UserThread::current().timer_slack;
  slack.nanoseconds = nanoseconds == 0 ? slack.standard : nanoseconds;
  return 0;
}

Value set_adopts_orphans(std::uint64_t value) {
  SpinGuard guard(process_lock);
  Process::current().adopts_orphans = value != 0;
  return 0;
}

// Nobody gives up what a program may grant: a set-user-id program of root's has all capabilities.
Value has_bounding_capability(std::uint64_t number) {
  constexpr std::uint64_t kLastCapability = 40;
  return number <= kLastCapability ? Value(1) : failure(KernelError::InvalidArgument);
}

}  // namespace

Value prctl(std::uint32_t option, std::uint64_t argument, std::uint64_t third, std::uint64_t fourth,
            std::uint64_t fifth) {
  enum : std::uint32_t {
    kSetParentDeathSignal = 1,
    kGetParentDeathSignal = 2,
    kGetDumpable = 3,
    kSetDumpable = 4,
    kSetName = 15,
    kGetName = 16,
    kReadBoundingCapability = 23,
    kSetTimerSlack = 29,
    kGetTimerSlack = 30,
    kSetChildSubreaper = 36,
    kGetChildSubreaper = 37,
    kSetNoNewPrivileges = 38,
    kGetNoNewPrivileges = 39,
  };
  UserThread& thread = UserThread::current();
  const bool more_arguments = third != 0 || fourth != 0 || fifth != 0;
  switch (option) {
    case kSetParentDeathSignal:
      return set_parent_death_signal(argument);
    case kGetParentDeathSignal:
      return get_parent_death_signal(UserPointer<std::int32_t>(argument));
    case kSetName:
      return set_name(argument);
    case kGetName:
      TRY(copy_to_user(argument, std::as_bytes(std::span(thread.name))));
      return 0;
    case kGetDumpable:
      return thread.process->dumpable ? 1 : 0;
    case kSetDumpable:
      return set_dumpable(argument);
    case kReadBoundingCapability:
      return has_bounding_capability(argument);
    case kSetTimerSlack:
      return set_timer_slack(argument);
    case kGetTimerSlack:
      return thread.timer_slack.nanoseconds;
    case kSetChildSubreaper:
      return set_adopts_orphans(argument);
    case kGetChildSubreaper:
      TRY(UserPointer<std::int32_t>(argument).write(thread.process->adopts_orphans ? 1 : 0));
      return 0;
    case kSetNoNewPrivileges:
      if (argument != 1 || more_arguments) return failure(KernelError::InvalidArgument);
      thread.no_new_privileges = true;
      return 0;
    case kGetNoNewPrivileges:
      if (argument != 0 || more_arguments) return failure(KernelError::InvalidArgument);
      return thread.no_new_privileges ? 1 : 0;
    default:
      return failure(KernelError::InvalidArgument);
  }
}

}  // namespace faultline::system_call
