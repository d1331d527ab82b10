#pragma once
// Processes, process groups and sessions.
//
//   Session ──< ProcessGroup ──< Process ──< Thread (UserThread)
//                                  │
//                                  ├─ AddressSpace       shared between vfork and exec
//                                  ├─ FileTable          shared by CLONE_FILES
//                                  ├─ FileSystemContext  root, working directory, umask; shared by CLONE_FS
//                                  └─ SignalActions      shared by CLONE_SIGHAND
//
// One lock, process_lock, guards the tree, the groups and every signal state: these are touched by fork,
// exit, wait and kill, never by an ordinary system call, and one lock leaves no order to get wrong. Fields
// that are set once, or that only the process's own thread changes, say so.
//
// Life of a process:   Running ──(last thread gone)──> Zombie ──(parent has waited)──> freed
// A reference is held by the process table from creation until the parent has waited; a zombie keeps nothing
// but this object. Threads hold a plain pointer, which the table's reference covers.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>

#include "kernel/fs/file_use.hpp"
#include "kernel/lib/list.hpp"
#include "kernel/lib/ref.hpp"
#include "kernel/lib/time.hpp"
#include "kernel/proc/address_space.hpp"
#include "kernel/proc/cpu_time_limit.hpp"
#include "kernel/proc/credentials.hpp"
#include "kernel/proc/file_system_context.hpp"
#include "kernel/proc/file_table.hpp"
#include "kernel/proc/identifier.hpp"
#include "kernel/proc/interval_timer.hpp"
#include "kernel/proc/resource_limits.hpp"
#include "kernel/proc/signal_actions.hpp"
#include "kernel/proc/user_thread.hpp"
#include "kernel/sched/thread.hpp"
#include "kernel/sync/wait_queue.hpp"

namespace faultline {

struct GroupMemberTag;
struct Process;

extern SpinLock process_lock;

struct Session final : RefCounted {
  explicit Session(Identifier session_id) : id(session_id.value()), identifier(std::move(session_id)) {}
  const ProcessId id;
  const Identifier identifier;
  /// True once the session owns the terminal (TIOCSCTTY). Under process_lock.
  bool has_terminal = false;
};

struct ProcessGroup final : RefCounted, ListNode<struct GroupTableTag> {
  ProcessGroup(Identifier group_id, Ref<Session> its_session)
      : id(group_id.value()), identifier(std::move(group_id)), session(std::move(its_session)) {}
  /// Leaves the table of groups. The last reference is dropped with process_lock held.
  ~ProcessGroup() override;

  const ProcessId id;
  const Identifier identifier;
  const Ref<Session> session;
  List<Process, GroupMemberTag> members;  // under process_lock
};

/// How a process ended, or last changed, as wait reports it.
struct ExitStatus {
  enum class Kind : std::uint8_t { Exited, Killed };
  Kind kind = Kind::Exited;
  std::uint8_t value = 0;  // exit code, or signal number

  /// The status word of wait4.
  constexpr int wait_status() const { return kind == Kind::Exited ? value << 8 : value; }
};

/// Resources used, in clock ticks, as getrusage reports them.
struct ResourceUsage {
  std::uint64_t user_ticks = 0;
  std::uint64_t system_ticks = 0;
  std::uint64_t minor_faults = 0;
  std::uint64_t major_faults = 0;
  std::uint64_t peak_resident_pages = 0;

  void add(const CpuTime& time) {
    user_ticks += time.user;
    system_ticks += time.system;
  }
  void add(const ResourceUsage& other) {
    user_ticks += other.user_ticks;
    system_ticks += other.system_ticks;
    minor_faults += other.minor_faults;
    major_faults += other.major_faults;
    peak_resident_pages = std::max(peak_resident_pages, other.peak_resident_pages);
  }
};

struct Process final : RefCounted, ListNode<struct SiblingTag>, ListNode<GroupMemberTag> {
  explicit Process(Identifier process_id) : id(process_id.value()), identifier(std::move(process_id)) {}
  ~Process() override;

  /// The process of the calling thread, which is a user thread.
  static Process& current() { return *Thread::current().process; }

  SystemMm& mm() const { return memory->mm(); }
  /// What the switcher activates; null once the process has let its memory go.
  Space* space() const { return memory ? &memory->mm().space() : nullptr; }

  const ProcessId id;
  const Identifier identifier;

  // ---- Changed only by the process's own threads, under process_lock so that procfs can take a reference.
  // Null once the last thread has left. ----
  Ref<AddressSpace> memory;  // replaced by exec, when one thread is left
  Ref<FileTable> files;
  Ref<FileSystemContext> file_system;
  Ref<SignalActions> actions;
  ProcessCredentials credentials;
  /// Others of the same user may look inside (PR_SET_DUMPABLE). Not once the process has changed its rights.
  std::atomic<bool> dumpable = true;
  /// The memory policy of the program that it executes next (/proc/PID/pager).
  std::atomic<PagerChoice> next_pager = PagerChoice();

  // ---- All that follows is under process_lock. ----
  Process* parent = nullptr;                  // null only for init
  std::atomic<ProcessId> parent_id = 0;       // parent->id; read without the lock by getppid
  const UserThread* parent_thread = nullptr;  // the one that made it, or took it over; only ever compared
  bool adopts_orphans = false;                // of its descendants, in place of init (PR_SET_CHILD_SUBREAPER)
  List<Process, struct SiblingTag> children;
  Ref<ProcessGroup> group;
  List<UserThread, ThreadsOfProcessTag> threads;  // those that have not begun to leave
  unsigned threads_alive = 0;                     // those whose kernel stacks exist
  WaitQueue child_changed;                        // threads of this process in wait4
  WaitQueue thread_gone;  // the thread in exec or exit that waits until it is the only one

  enum class State : std::uint8_t { Running, Zombie };
  State state = State::Running;
  bool exiting = false;  // exit_group, a fatal signal or exec: every thread but `survivor` is to leave
  UserThread* survivor = nullptr;  // the thread in exec
  bool executed = false;           // has called execve: its parent may no longer move it to another group
  ExitStatus exit_status;
  std::optional<Signal> exit_signal = Signal::Child;  // what the parent gets when this process ends

  bool stopped = false;       // all threads are to stay in the kernel until SIGCONT or SIGKILL
  bool stop_reported = true;  // wait has told the parent
  bool continue_reported = true;
  Signal stop_signal = Signal::Stop;
  WaitQueue
      released;  // threads that stopped, or sleep in vfork; SIGCONT and the end of the process wake them

  PendingSignals pending;  // sent to the process as a whole
  IntervalTimer real_timer{*this};
  ResourceLimits limits;
  CpuTimeLimit cpu_time_limit{*this};
  ResourceUsage own_usage;       // of threads that are gone
  ResourceUsage children_usage;  // of children waited for
  Ticks started;

  Process* vfork_waiter = nullptr;  // who sleeps in vfork until this process lets the shared memory go
  void end_vfork() {
    if (vfork_waiter != nullptr) vfork_waiter->released.wake_all();
    vfork_waiter = nullptr;
  }

  // Set by exec, for procfs.
  char name[16] = {};
  VaRange arguments{Va::checked(0), Va::checked(0)};
  ExecutedFile executable;
};

}  // namespace faultline
