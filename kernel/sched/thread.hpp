#pragma once
// A thread of execution: a kernel stack, the registers it left there, and where it stands in its life.
//
//   Created ──start──> Runnable <──────────────┐
//                         │ chosen             │ woken
//                         v                    │
//                      Running ──sleep──> Blocking ──switched away──> Blocked
//                         │                    │ woken before it has switched: Woken, then as Runnable
//                         v
//                       Exited ──switched away──> freed by whoever runs next on that hart
//
// "Blocking" is the time between the decision to sleep and the moment when the registers are saved. A waker
// that comes in between only notes it (Woken); the hart that switches away from the thread then puts it into
// a run queue. So a thread never runs on two harts, and no waker waits for a switch.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernel/lib/list.hpp"
#include "kernel/lib/ref.hpp"
#include "kernel/lib/time.hpp"
#include "kernel/mm/platform.hpp"
#include "kernel/riscv/hart.hpp"
#include "kernel/riscv/kernel_stack.hpp"
#include "kernel/riscv/trap_frame.hpp"
#include "kernel/sched/fp.hpp"

namespace faultline {

struct Process;
struct RunQueueTag;

/// Time on harts, in clock ticks.
struct CpuTime {
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  std::uint64_t total() const { return user + system; }
};

/// The callee-saved registers of a thread that does not run.
struct SwitchContext {
  std::uint64_t ra = 0, sp = 0;
  std::uint64_t s[12] = {};
};

/// The part of a thread that assembly knows; the kernel's tp register points to it.
struct ThreadControl {
  Hart* hart = nullptr;  // where it runs or ran last
  /// Asks for return_to_user_work before the thread's next return to user mode.
  std::atomic<bool> user_work = false;
  SwitchContext context;
};

/// What stands at the top of a kernel stack whose thread has a process; sscratch points to it in user mode.
struct alignas(16) UserEntry {
  TrapFrame frame;
  ThreadControl* thread;
};

class Thread : public RefCounted, public ThreadControl, public ListNode<RunQueueTag> {
 public:
  enum class State : std::uint32_t { Created, Runnable, Running, Blocking, Woken, Blocked, Exited };

  /// A kernel thread that will run `entry(argument)` and end when that returns. Error: OutOfMemory.
  static Result<Ref<Thread>> create(std::string_view name, void (*entry)(void*), void* argument);

  static Thread& current() {
    return static_cast<Thread&>(*static_cast<ThreadControl*>(__builtin_thread_pointer()));
  }

  /// The user's registers; stands at the top of the kernel stack.
  TrapFrame& trap_frame() const { return user_entry().frame; }
  UserEntry& user_entry() const { return *reinterpret_cast<UserEntry*>(stack_.top() - sizeof(UserEntry)); }
  const KernelStack& stack() const { return stack_; }
  State state() const { return scheduling_state.load(std::memory_order_relaxed); }

  /// The process it belongs to, and then it is a UserThread (proc/user_thread.hpp); null for a kernel thread.
  Process* process = nullptr;
  /// The address space it runs in; null for a kernel thread. Set before the thread starts, then by
  /// scheduler::use_space.
  Space* space = nullptr;
  /// Thread number, from the same space as process numbers; 0 for a kernel thread.
  std::int32_t id = 0;
  char name[16] = {};

  /// A signal wants to be looked at: interruptible sleeps end. Set before scheduler::interrupt.
  std::atomic<bool> signal_pending = false;

  /// Harts it may run on.
  std::atomic<std::uint64_t> allowed_harts = ~std::uint64_t{0};

  /// Time it has run so far, split into what it spent in system calls and the rest. Of a thread that runs on
  /// another hart the current system call is missing.
  CpuTime cpu_time() const;
  /// Around a system call that may take long: the time between counts as the system's, but for what the
  /// thread sleeps. Page faults and the calls that are over at once count as the program's own: telling them
  /// apart would cost them more than it says.
  void enter_system_call();
  void leave_system_call();

  // Public for make_ref and for the idle threads, which use the stacks their harts were started on.
  explicit Thread(KernelStack stack) : stack_(std::move(stack)) {}
  ~Thread() override;

 protected:
  /// It will start in user mode with the registers in trap_frame(), after it has called `prologue` in the
  /// kernel, if there is one.
  void prepare_user_entry(void (*prologue)());

 public:
  // For sched/fp.cpp: the registers while the hart's are another's; whether the thread has ever used them;
  // the hart that holds them if its fp_owner is this thread.
  FpState fp_state{};
  bool fp_used = false;
  const Hart* fp_hart = nullptr;

  // For scheduler.cpp.
  std::atomic<State> scheduling_state = State::Created;
  std::atomic<bool> interruptible = false;
  /// The thread gets the hart, or gives it up.
  void start_running(Ticks now);
  void stop_running(Ticks now);
  Ticks running_since() const { return Ticks(running_since_.load(std::memory_order_relaxed)); }

 private:
  void count_call(Ticks now);

  KernelStack stack_;
  // cpu_time() of another hart reads a start, the total and the start again; stop_running clears the start
  // before it raises the total, so that the slice is counted once.
  std::atomic<std::uint64_t> running_since_ = 0;  // 0: does not run
  std::atomic<std::uint64_t> ran_ = 0;            // in slices that are over
  std::atomic<std::uint64_t> in_calls_ = 0;       // of that and of the current slice
  std::uint64_t call_since_ = 0;                  // 0: in none
};

}  // namespace faultline
