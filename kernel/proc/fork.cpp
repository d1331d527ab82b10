#include "kernel/proc/fork.hpp"

#include <cstring>

#include "kernel/proc/process_table.hpp"
#include "kernel/proc/signal.hpp"
#include "kernel/proc/user_memory.hpp"
#include "kernel/sched/scheduler.hpp"

namespace faultline {

namespace {

std::atomic<std::uint32_t> thread_count = 0;
std::uint32_t thread_limit = 64;
std::atomic<std::uint64_t> created = 0;

// A thread costs a kernel stack, a process its page tables as well: some 16 frames. A quarter of the memory
// may go into those, so that a fork bomb leaves room for the shell that is to end it.
constexpr std::uint64_t kFramesPerThread = 16, kShareOfMemory = 4;
constexpr std::uint64_t kMaxThreads = 4096;

/// Counts the thread that is being made; gives the place back unless it was made.
class ThreadPlace {
 public:
  static Result<ThreadPlace> take() {
    if (thread_count.fetch_add(1) < thread_limit) return ThreadPlace();
    thread_count.fetch_sub(1);
    return failure(KernelError::TryAgain);
  }
  ThreadPlace(ThreadPlace&& other) noexcept : taken_(std::exchange(other.taken_, false)) {}
  ThreadPlace& operator=(ThreadPlace&&) = delete;
  ~ThreadPlace() {
    if (taken_) thread_count.fetch_sub(1);
  }
  void keep() {
    taken_ = false;
    created.fetch_add(1, std::memory_order_relaxed);
  }

 private:
  ThreadPlace() = default;
  bool taken_ = true;
};

Result<> check(const CloneRequest& request) {
  const bool thread = request.has(CloneRequest::kThread);
  if (thread && !request.has(CloneRequest::kSignalActions)) return failure(KernelError::InvalidArgument);
  if (request.has(CloneRequest::kSignalActions) && !request.has(CloneRequest::kMemory)) {
    return failure(KernelError::InvalidArgument);
  }
  constexpr std::uint64_t kShared = CloneRequest::kFiles | CloneRequest::kFileSystem;
  constexpr std::uint64_t kKnown =
      CloneRequest::kExitSignalMask | kShared | CloneRequest::kMemory | CloneRequest::kSignalActions |
      CloneRequest::kVfork | CloneRequest::kParent | CloneRequest::kThread |
      CloneRequest::kSystemVSemaphores | CloneRequest::kSetThreadLocal | CloneRequest::kParentSetId |
      CloneRequest::kChildClearId | CloneRequest::kDetached | CloneRequest::kChildSetId;
  if ((request.flags & ~kKnown) != 0) return failure(KernelError::InvalidArgument);
  const std::uint64_t signal = request.flags & CloneRequest::kExitSignalMask;
  if (signal > kSignalCount) return failure(KernelError::InvalidArgument);
  return {};
}

void copy_user_state(UserThread& child, const CloneRequest& request) {
  UserThread& current = UserThread::current();
  child.trap_frame() = current.trap_frame();
  child.trap_frame().a0 = 0;
  if (request.stack != 0) child.trap_frame().sp = request.stack;
  if (request.has(CloneRequest::kSetThreadLocal)) child.trap_frame().tp = request.thread_local_address;
  fp::copy_current_to(child);
  std::memcpy(child.name, current.name, sizeof(child.name));
  child.allowed_harts = current.allowed_harts.load();
  child.blocked = current.blocked;
  child.scheduling = current.scheduling.for_child();
  child.timer_slack = current.timer_slack.for_child();
  child.no_new_privileges = current.no_new_privileges;
  // A thread in the same memory needs another alternate stack; a vfork child uses its parent's in turn.
  if (!request.has(CloneRequest::kMemory) || request.has(CloneRequest::kVfork)) {
    child.alternate_stack = current.alternate_stack;
  }
  if (request.has(CloneRequest::kChildClearId)) child.clear_child_tid = request.child_id_address;
}

// Stores the new number where libc wants it. The child's copy of private memory gets it through the child's
// own space.
void store_ids(ProcessId id, const CloneRequest& request, AddressSpace& child_memory) {
  const UserPointer<ProcessId> in_parent(request.parent_id_address);
  if (request.has(CloneRequest::kParentSetId)) (void)in_parent.write(id);
  if (!request.has(CloneRequest::kChildSetId)) return;
  if (const std::optional<Va> va = Va::from(request.child_id_address))
    (void)child_memory.mm().copy_out(*va, id);
}

// A thread joins its process, or a process its parent, unless a signal came first: one that was sent to the
// group would miss the child.
Result<> check_signals(const Process& process, const SpinGuard& guard) {
  if (process.exiting) return failure(KernelError::RestartSystemCall);
  const UserThread& thread = UserThread::current();
  if (!(signals::pending(thread, guard) - thread.blocked).empty())
    return failure(KernelError::RestartSystemCall);
  return {};
}

// Descriptors and directories belong to the process: a thread shares them, whether it asks to or not.
Result<ProcessId> clone_thread(const CloneRequest& request, ThreadPlace place) {
  Process& process = Process::current();
  Identifier identifier = TRY(Identifier::allocate());
  const ProcessId id = identifier.value();
  Ref<UserThread> thread = TRY(UserThread::create(process));
  thread->id = id;
  thread->identifier = std::move(identifier);
  thread->space = process.space();
  copy_user_state(*thread, request);
  store_ids(id, request, *process.memory);
  {
    SpinGuard guard(process_lock);
    TRY(check_signals(process, guard));
    process.threads.push_back(*thread);
    ++process.threads_alive;
  }
  place.keep();
  scheduler::start(std::move(thread));
  return id;
}

// RLIMIT_NPROC counts the threads of the real user, whoever started them; root is not bound by it.
Result<> check_process_limit(const Process& process) {
  const std::uint32_t user = process.credentials.user;
  const std::uint64_t limit = process.limits.soft(Resource::Processes);
  if (user == 0 || process.credentials.privileged() || limit >= thread_limit) return {};
  SpinGuard guard(process_lock);
  std::uint64_t count = 0;
  for (const Process* other = process_table.next(0); other != nullptr;
       other = process_table.next(other->id)) {
    if (other->credentials.user == user) count += std::max(other->threads_alive, 1u);
  }
  return count < limit ? Result<>() : failure(KernelError::TryAgain);
}

// What the child shares with its parent and what it gets a copy of.
Result<> copy_resources(Process& child, const Process& parent, const CloneRequest& request) {
  child.memory = request.has(CloneRequest::kMemory) ? parent.memory : TRY(parent.memory->fork());
  child.files = request.has(CloneRequest::kFiles) ? parent.files : TRY(parent.files->clone());
  child.file_system =
      request.has(CloneRequest::kFileSystem) ? parent.file_system : TRY(parent.file_system->clone());
  if (request.has(CloneRequest::kSignalActions)) {
    child.actions = parent.actions;
  } else {
    child.actions = TRY(make_ref<SignalActions>());
    SpinGuard guard(process_lock);
    child.actions->copy_from(*parent.actions);
  }
  child.credentials = parent.credentials;
  child.limits.copy_from(parent.limits);
  child.dumpable = parent.dumpable.load();
  child.next_pager = parent.next_pager.load();
  child.executable = parent.executable;
  child.arguments = parent.arguments;
  std::memcpy(child.name, parent.name, sizeof(child.name));
  child.started = clock::now();
  return {};
}

Result<> join_family(Process& child, UserThread& thread, const CloneRequest& request,
                     Ref<Process> table_reference) {
  Process& current = Process::current();
  SpinGuard guard(process_lock);
  TRY(check_signals(current, guard));
  // A sibling tells the common parent of its end as the caller does: a parent never gets a signal that it did
  // not ask for.
  const bool sibling = request.has(CloneRequest::kParent) && current.parent != nullptr;
  const std::uint64_t requested = request.flags & CloneRequest::kExitSignalMask;
  child.exit_signal = sibling ? current.exit_signal : signal_from(static_cast<std::int64_t>(requested));
  Process& parent = sibling ? *current.parent : current;
  child.parent = &parent;
  child.parent_id = parent.id;
  child.parent_thread = sibling ? current.parent_thread : &UserThread::current();
  parent.children.push_back(child);
  child.group = current.group;
  child.group->members.push_back(child);
  child.threads.push_back(thread);
  child.threads_alive = 1;
  if (request.has(CloneRequest::kVfork)) child.vfork_waiter = &current;
  process_table.add(std::move(table_reference));
  return {};
}

Result<ProcessId> clone_process(const CloneRequest& request, ThreadPlace place) {
  Process& parent = Process::current();
  Ref<Process> child = TRY(make_ref<Process>(TRY(Identifier::allocate())));
  const ProcessId id = child->id;
  TRY(copy_resources(*child, parent, request));
  Ref<UserThread> thread = TRY(UserThread::create(*child));
  thread->id = id;
  thread->space = child->space();
  copy_user_state(*thread, request);
  store_ids(id, request, *child->memory);
  TRY(join_family(*child, *thread, request, child));
  place.keep();
  scheduler::start(std::move(thread));
  if (parent.limits.soft(Resource::CpuSeconds) != ResourceLimit::kUnlimited) child->cpu_time_limit.arm();
  if (request.has(CloneRequest::kVfork)) {
    // A parent that is to end does not wait for a child that perhaps never will.
    SpinGuard guard(process_lock);
    parent.released.wait_until(guard, [&] { return child->vfork_waiter == nullptr || parent.exiting; });
    child->vfork_waiter = nullptr;
  }
  return id;
}

}  // namespace

Result<ProcessId> clone(const CloneRequest& request) {
  TRY(check(request));
  TRY(check_process_limit(Process::current()));
  ThreadPlace place = TRY(ThreadPlace::take());
  return request.has(CloneRequest::kThread) ? clone_thread(request, std::move(place))
                                            : clone_process(request, std::move(place));
}

std::uint64_t processes_created() { return created.load(std::memory_order_relaxed); }
Result<> count_first_thread() {
  TRY(ThreadPlace::take()).keep();
  return {};
}
void uncount_user_thread() { thread_count.fetch_sub(1); }
unsigned user_threads() { return thread_count.load(std::memory_order_relaxed); }
unsigned user_thread_limit() { return thread_limit; }

void set_user_thread_limit(std::uint64_t memory_frames) {
  thread_limit =
      static_cast<std::uint32_t>(std::min(memory_frames / (kFramesPerThread * kShareOfMemory), kMaxThreads));
}

}  // namespace faultline
