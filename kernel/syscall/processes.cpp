// Processes: making, replacing, ending and waiting for them; groups and sessions.

#include "kernel/lib/format.hpp"
#include "kernel/proc/access.hpp"
#include "kernel/proc/exec.hpp"
#include "kernel/proc/exit.hpp"
#include "kernel/proc/fork.hpp"
#include "kernel/proc/process_table.hpp"
#include "kernel/proc/signal.hpp"
#include "kernel/proc/user_thread.hpp"
#include "kernel/syscall/resource_use.hpp"
#include "kernel/syscall/system_calls.hpp"
#include "kernel/syscall/user_path.hpp"

namespace faultline::system_call {

namespace {

constexpr std::uint32_t kNoHang = 1, kStopped = 2, kExited = 4, kContinued = 8, kNoWait = 0x01000000,
                        kNoThread = 0x20000000, kAllChildren = 0x40000000, kCloneChildren = 0x80000000;

ChildSelector selector_of(std::uint32_t options, ChildSelector::Kind kind, ProcessId id) {
  return {.kind = kind,
          .id = id,
          .clones = (options & kCloneChildren) != 0,
          .all = (options & kAllChildren) != 0};
}

ProcessId own_group() {
  SpinGuard guard(process_lock);
  return Process::current().group->id;
}

}  // namespace

Value clone(std::uint64_t flags, Address stack, Address parent_id, Address thread_local_storage,
            Address child_id) {
  const ProcessId id = TRY(faultline::clone({.flags = flags & UINT32_MAX,
                                             .stack = stack,
                                             .parent_id_address = parent_id,
                                             .thread_local_address = thread_local_storage,
                                             .child_id_address = child_id}));
  return static_cast<std::uint64_t>(id);
}

Value execve(Address path, Address arguments, Address environment) {
  return execveat(kWorkingDirectory, path, arguments, environment, 0);
}

Value execveat(int directory, Address path, Address arguments, Address environment, std::uint32_t flags) {
  if ((flags & ~(kEmptyPath | kNoFollow)) != 0) return failure(KernelError::InvalidArgument);
  const UserPath program = TRY(UserPath::from(directory, path));
  const FollowLast follow = (flags & kNoFollow) != 0 ? FollowLast::No : FollowLast::Yes;
  Ref<Inode> file = TRY(program.inode(follow, flags));
  if (file->kind() == FileKind::SymbolicLink) return failure(KernelError::TooManySymbolicLinks);
  // A program that is named by a descriptor is told a path that leads there.
  struct Space {
    char text[kMaxPathLength + sizeof("/dev/fd/2147483647/")];
  };
  Box<Space> space;
  std::string_view name = program.view();
  if (directory != kWorkingDirectory && !name.starts_with('/')) {
    space = TRY(make_box<Space>());
    name = format_into(space->text, "/dev/fd/{}{}{}", directory, name.empty() ? "" : "/", name);
  }
  TRY(execute({.file = std::move(file),
               .path = name,
               .context = program.context(),
               .arguments = arguments,
               .environment = environment}));
  // The new program starts with what the kernel has put into its registers; a0 is 0 among them.
  return 0;
}

Value exit(int code) { exit_thread(static_cast<std::uint8_t>(code)); }

Value exit_group(int code) { exit_process(static_cast<std::uint8_t>(code)); }

Value wait4(std::int32_t id, UserPointer<std::int32_t> status, std::uint32_t options,
            UserPointer<abi::ResourceUse> usage) {
  constexpr std::uint32_t kKnown =
      kNoHang | kStopped | kContinued | kNoThread | kAllChildren | kCloneChildren;
  if ((options & ~kKnown) != 0) return failure(KernelError::InvalidArgument);
  if (id == INT32_MIN) return failure(KernelError::NoSuchProcess);
  ChildSelector selector = selector_of(options, ChildSelector::Kind::Any, 0);
  if (id > 0) {
    selector.kind = ChildSelector::Kind::Process;
    selector.id = id;
  } else if (id != -1) {
    selector.kind = ChildSelector::Kind::Group;
    selector.id = id == 0 ? own_group() : -id;
  }
  const std::optional<ChildReport> report =
      TRY(wait_for_child(selector, {.exited = true,
                                    .stopped = (options & kStopped) != 0,
                                    .continued = (options & kContinued) != 0,
                                    .no_hang = (options & kNoHang) != 0}));
  if (!report) return 0;
  if (!status.null()) TRY(status.write(report->wait_status));
  if (!usage.null()) TRY(usage.write(to_abi(report->usage)));
  return static_cast<std::uint64_t>(report->id);
}

Value waitid(std::uint32_t kind, std::int32_t id, UserPointer<SignalInfo> info, std::uint32_t options,
             UserPointer<abi::ResourceUse> usage) {
  constexpr std::uint32_t kKinds[] = {0 /* P_ALL */, 1 /* P_PID */, 2 /* P_PGID */};
  constexpr std::uint32_t kStates = kExited | kStopped | kContinued;
  constexpr std::uint32_t kKnown = kStates | kNoHang | kNoWait | kNoThread | kAllChildren | kCloneChildren;
  if ((options & ~kKnown) != 0 || (options & kStates) == 0) return failure(KernelError::InvalidArgument);
  ChildSelector selector = selector_of(options, ChildSelector::Kind::Any, id);
  if (kind == kKinds[1]) {
    if (id <= 0) return failure(KernelError::InvalidArgument);
    selector.kind = ChildSelector::Kind::Process;
  } else if (kind == kKinds[2]) {
    if (id < 0) return failure(KernelError::InvalidArgument);
    selector.kind = ChildSelector::Kind::Group;
    if (id == 0) selector.id = own_group();
  } else if (kind != kKinds[0]) {
    return failure(KernelError::InvalidArgument);
  }
  const std::optional<ChildReport> report =
      TRY(wait_for_child(selector, {.exited = (options & kExited) != 0,
                                    .stopped = (options & kStopped) != 0,
                                    .continued = (options & kContinued) != 0,
                                    .no_hang = (options & kNoHang) != 0,
                                    .keep = (options & kNoWait) != 0}));
  SignalInfo told;
  if (report) {
    told.number = static_cast<std::int32_t>(number_of(Signal::Child));
    told.code = report->code;
    told.child.process = report->id;
    told.child.user = report->user;
    told.child.status = report->value;
  }
  if (!info.null()) TRY(info.write(told));
  if (report && !usage.null()) TRY(usage.write(to_abi(report->usage)));
  return 0;
}

Value set_tid_address(Address address) {
  UserThread& thread = UserThread::current();
  thread.clear_child_tid = address;
  return static_cast<std::uint64_t>(thread.id);
}

// struct robust_list_head
constexpr std::uint64_t kRobustHeadBytes = 24;

Value set_robust_list(Address head, std::uint64_t size) {
  if (size != kRobustHeadBytes) return failure(KernelError::InvalidArgument);
  UserThread::current().robust_list = head;
  return 0;
}

Value get_robust_list(std::int32_t id, UserPointer<std::uint64_t> head, UserPointer<std::uint64_t> size) {
  std::uint64_t list;
  {
    SpinGuard guard(process_lock);
    const UserThread* thread = id == 0 ? &UserThread::current() : process_table.find_thread(id);
    if (thread == nullptr) return failure(KernelError::NoSuchProcess);
    if (!access::may_inspect(*thread->process, access::Identity::Real))
      return failure(KernelError::NotPermitted);
    list = thread->robust_list;
  }
  TRY(size.write(kRobustHeadBytes));
  TRY(head.write(list));
  return 0;
}

Value getpid() { return static_cast<std::uint64_t>(Process::current().id); }

Value getppid() {
  return static_cast<std::uint64_t>(Process::current().parent_id.load(std::memory_order_relaxed));
}

Value gettid() { return static_cast<std::uint64_t>(Thread::current().id); }

Value getpgid(std::int32_t id) {
  SpinGuard guard(process_lock);
  const Process* process = id == 0 ? &Process::current() : process_table.find(id);
  if (process == nullptr) return failure(KernelError::NoSuchProcess);
  return static_cast<std::uint64_t>(process->group->id);
}

Value getsid(std::int32_t id) {
  SpinGuard guard(process_lock);
  const Process* process = id == 0 ? &Process::current() : process_table.find(id);
  if (process == nullptr) return failure(KernelError::NoSuchProcess);
  return static_cast<std::uint64_t>(process->group->session->id);
}

namespace {

void move_to_group(Process& process, Ref<ProcessGroup> group) {
  static_cast<ListNode<GroupMemberTag>&>(process).unlink();
  group->members.push_back(process);
  process.group = std::move(group);
}

// POSIX's conditions for setpgid. Returns the process that is to move.
Result<Process*> movable_process(ProcessId id) {
  Process& current = Process::current();
  Process* process = id == 0 ? &current : process_table.find(id);
  if (process == nullptr || (process != &current && process->parent != &current)) {
    return failure(KernelError::NoSuchProcess);
  }
  if (process != &current) {
    if (process->group->session != current.group->session) return failure(KernelError::NotPermitted);
    if (process->executed) return failure(KernelError::AccessDenied);
  }
  if (process->group->session->id == process->id) return failure(KernelError::NotPermitted);
  return process;
}

}  // namespace

Value setpgid(std::int32_t id, std::int32_t group_id) {
  if (group_id < 0 || (group_id == 0 && id < 0)) return failure(KernelError::InvalidArgument);
  SpinGuard guard(process_lock);
  Process& process = *TRY(movable_process(id));
  const ProcessId wanted = group_id == 0 ? process.id : group_id;
  if (process.group->id == wanted) return 0;
  if (ProcessGroup* group = process_table.find_group(wanted)) {
    if (group->session != process.group->session) return failure(KernelError::NotPermitted);
    move_to_group(process, Ref<ProcessGroup>::share(*group));
    return 0;
  }
  if (wanted != process.id) return failure(KernelError::NotPermitted);
  Ref<ProcessGroup> group = TRY(make_ref<ProcessGroup>(process.identifier.share(), process.group->session));
  process_table.add(*group);
  move_to_group(process, std::move(group));
  return 0;
}

Value setsid() {
  Process& process = Process::current();
  SpinGuard guard(process_lock);
  if (process_table.find_group(process.id) != nullptr) return failure(KernelError::NotPermitted);
  Ref<Session> session = TRY(make_ref<Session>(process.identifier.share()));
  Ref<ProcessGroup> group = TRY(make_ref<ProcessGroup>(process.identifier.share(), std::move(session)));
  process_table.add(*group);
  move_to_group(process, std::move(group));
  return static_cast<std::uint64_t>(process.id);
}

}  // namespace faultline::system_call
