#include "kernel/sched/thread.hpp"

#include <algorithm>
#include <cstddef>

#include "kernel/dev/clock.hpp"
#include "kernel/riscv/layout.h"

extern "C" {
void kernel_thread_start();
void user_thread_start();
}

namespace faultline {

static_assert(offsetof(ThreadControl, hart) == 0);  // Hart::current()
static_assert(offsetof(ThreadControl, hart) == THREAD_HART);
static_assert(offsetof(ThreadControl, user_work) == THREAD_USER_WORK);
static_assert(offsetof(SwitchContext, ra) == SWITCH_RA && offsetof(SwitchContext, sp) == SWITCH_SP &&
              offsetof(SwitchContext, s) == SWITCH_S);
static_assert(offsetof(UserEntry, frame) == 0 && sizeof(TrapFrame) == TRAP_FRAME_SIZE &&
              offsetof(UserEntry, thread) == USER_ENTRY_THREAD && sizeof(UserEntry) == USER_ENTRY_SIZE);

namespace {

std::uint64_t address_of_code(void (*code)()) { return reinterpret_cast<std::uintptr_t>(code); }

void set_name(Thread& thread, std::string_view name) {
  const std::size_t length = std::min(name.size(), sizeof(thread.name) - 1);
  std::copy_n(name.data(), length, thread.name);
}

}  // namespace

Result<Ref<Thread>> Thread::create(std::string_view name, void (*entry)(void*), void* argument) {
  Ref<Thread> thread = TRY(make_ref<Thread>(TRY(KernelStack::allocate())));
  set_name(*thread, name);
  thread->context.ra = address_of_code(kernel_thread_start);
  thread->context.sp = thread->stack().top();
  thread->context.s[1] = reinterpret_cast<std::uintptr_t>(entry);
  thread->context.s[2] = reinterpret_cast<std::uintptr_t>(argument);
  return thread;
}

void Thread::prepare_user_entry(void (*prologue)()) {
  UserEntry& entry = user_entry();
  entry.frame = TrapFrame();
  entry.thread = this;
  context.ra = address_of_code(user_thread_start);
  context.s[1] = reinterpret_cast<std::uintptr_t>(prologue);
  context.sp = reinterpret_cast<std::uintptr_t>(&entry);
}

Thread::~Thread() = default;

void Thread::start_running(Ticks now) {
  if (call_since_ != 0) call_since_ = now.count();
  running_since_.store(now.count(), std::memory_order_relaxed);
}

void Thread::stop_running(Ticks now) {
  if (call_since_ != 0) count_call(now);
  const std::uint64_t since = running_since_.exchange(0, std::memory_order_relaxed);
  if (since == 0) return;  // a hart's first thread
  ran_.store(ran_.load(std::memory_order_relaxed) + (now.count() - since), std::memory_order_release);
}

void Thread::count_call(Ticks now) {
  in_calls_.store(in_calls_.load(std::memory_order_relaxed) + (now.count() - call_since_),
                  std::memory_order_relaxed);
}

void Thread::enter_system_call() { call_since_ = clock::now().count(); }

void Thread::leave_system_call() {
  count_call(clock::now());
  call_since_ = 0;
}

CpuTime Thread::cpu_time() const {
  const std::uint64_t now = clock::now().count();
  std::uint64_t since, total;
  do {
    since = running_since_.load(std::memory_order_acquire);
    total = ran_.load(std::memory_order_acquire);
  } while (running_since_.load(std::memory_order_relaxed) != since);
  if (since != 0 && now > since) total += now - since;
  if (process == nullptr) return {.user = 0, .system = total};
  std::uint64_t system = in_calls_.load(std::memory_order_relaxed);
  if (this == &current() && call_since_ != 0) system += now - call_since_;
  system = std::min(system, total);
  return {.user = total - system, .system = system};
}

}  // namespace faultline
