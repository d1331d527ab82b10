// Signals: delivery, masks, handlers and what they may not disturb, groups, stopping, timers.
#include <sched.h>
#include <sys/time.h>
#include <ucontext.h>

#include "common/fault.h"
#include "common/pages.h"
#include "common/signals.h"
#include "common/threads.h"

static volatile sig_atomic_t caught;  // how often
static volatile sig_atomic_t last;    // which
static siginfo_t last_info;
static volatile uintptr_t handler_frame;

static void count_signal(int signal_number, siginfo_t* info, void* context) {
  (void)context;
  char local;
  handler_frame = (uintptr_t)&local;
  caught++;
  last = signal_number;
  last_info = *info;
}

static void handle(int signal_number, void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | flags;
  REQUIRE(sigaction(signal_number, &action, NULL) == 0);
}

static void change_mask(int how, int signal_number) {
  sigset_t set = set_of(signal_number);
  REQUIRE(sigprocmask(how, &set, NULL) == 0);
}

TEST(delivery, "a signal to oneself is handled before kill returns, and the handler is told who sent it") {
  handle(SIGUSR1, count_signal, 0);
  CHECK_EQ(kill(getpid(), SIGUSR1), 0);
  CHECK_EQ(caught, 1);
  CHECK_EQ(last, SIGUSR1);
  CHECK_EQ(last_info.si_signo, SIGUSR1);
  CHECK_EQ(last_info.si_code, SI_USER);
  CHECK_EQ(last_info.si_pid, getpid());
  CHECK_EQ(last_info.si_uid, getuid());
  CHECK_EQ(raise(SIGUSR1), 0);
  CHECK_EQ(caught, 2);
}

TEST(errors, "kill refuses what is no signal and no process, sigaction what cannot be caught") {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = SIG_IGN;
  CHECK_ERR(kill(getpid(), 65), EINVAL);
  CHECK_ERR(kill(getpid(), -1), EINVAL);
  CHECK_ERR(kill(0x3fffffff, SIGTERM), ESRCH);
  CHECK_ERR(kill(-0x3fffffff, SIGTERM), ESRCH);
  CHECK_EQ(kill(getpid(), 0), 0);
  CHECK_ERR(sigaction(SIGKILL, &action, NULL), EINVAL);
  CHECK_ERR(sigaction(SIGSTOP, &action, NULL), EINVAL);
  CHECK_ERR(sigaction(0, &action, NULL), EINVAL);
  CHECK_ERR(sigaction(65, &action, NULL), EINVAL);
  CHECK_EQ(sigaction(SIGKILL, NULL, &action), 0);
}

TEST(blocking, "a blocked signal is pending, once however often sent, and comes when unblocked") {
  sigset_t pending;
  handle(SIGUSR1, count_signal, 0);
  change_mask(SIG_BLOCK, SIGUSR1);
  for (int i = 0; i < 3; i++) kill(getpid(), SIGUSR1);
  CHECK_EQ(caught, 0);
  CHECK_EQ(sigpending(&pending), 0);
  CHECK_EQ(sigismember(&pending, SIGUSR1), 1);
  CHECK_EQ(sigismember(&pending, SIGUSR2), 0);
  change_mask(SIG_UNBLOCK, SIGUSR1);
  CHECK_EQ(caught, 1);
  change_mask(SIG_BLOCK, SIGUSR1);
  kill(getpid(), SIGUSR1);
  signal(SIGUSR1, SIG_IGN);  // takes a pending one away
  handle(SIGUSR1, count_signal, 0);
  change_mask(SIG_UNBLOCK, SIGUSR1);
  CHECK_EQ(caught, 1);
}

TEST(never_blocked, "SIGKILL and SIGSTOP cannot be blocked") {
  sigset_t all;
  sigfillset(&all);
  CHECK_EQ(sigprocmask(SIG_SETMASK, &all, NULL), 0);
  CHECK_EQ(sigprocmask(SIG_SETMASK, NULL, &all), 0);
  CHECK_EQ(sigismember(&all, SIGTERM), 1);
  CHECK_EQ(sigismember(&all, SIGKILL), 0);
  CHECK_EQ(sigismember(&all, SIGSTOP), 0);
  CHECK_ERR(sigprocmask(99, &all, NULL), EINVAL);
}

static volatile sig_atomic_t blocked_inside, nested_depth, deepest;

static void look_at_mask(int signal_number, siginfo_t* info, void* context) {
  (void)info, (void)context;
  sigset_t now;
  sigprocmask(SIG_BLOCK, NULL, &now);
  blocked_inside = sigismember(&now, signal_number) | sigismember(&now, SIGUSR2) << 1;
}

TEST(handler_mask,
     "in a handler its own signal and sa_mask are blocked, not with SA_NODEFER; after it neither") {
  if (tap_emulated()) SKIP("this emulator looks for sa_mask where RISC-V has nothing");
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = look_at_mask;
  action.sa_flags = SA_SIGINFO;
  action.sa_mask = set_of(SIGUSR2);
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
  raise(SIGUSR1);
  CHECK_EQ(blocked_inside, 3);
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
  raise(SIGUSR1);
  CHECK_EQ(blocked_inside, 2);
  sigset_t now;
  sigprocmask(SIG_BLOCK, NULL, &now);
  CHECK_EQ(sigismember(&now, SIGUSR1) | sigismember(&now, SIGUSR2), 0);
}

static void nest(int signal_number, siginfo_t* info, void* context) {
  (void)info, (void)context;
  if (++nested_depth > deepest) deepest = nested_depth;
  if (nested_depth < 10) raise(signal_number == SIGUSR1 ? SIGUSR2 : SIGUSR1);
  nested_depth--;
}

TEST(nesting, "handlers interrupted by handlers ten deep all return to where they were") {
  handle(SIGUSR1, nest, SA_NODEFER);
  handle(SIGUSR2, nest, SA_NODEFER);
  raise(SIGUSR1);
  CHECK_EQ(deepest, 10);
  CHECK_EQ(nested_depth, 0);
}

TEST(one_shot, "with SA_RESETHAND the handler runs once and the default is in force again") {
  pid_t child = tap_fork();
  if (child == 0) {
    handle(SIGUSR1, count_signal, SA_RESETHAND);
    raise(SIGUSR1);
    if (caught != 1) _exit(1);
    raise(SIGUSR1);
    _exit(2);
  }
  int status = tap_wait(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
}

TEST(alternate_stack, "with SA_ONSTACK the handler runs on the alternate stack, without on the current one") {
  stack_t alternate, now;
  memset(&alternate, 0, sizeof alternate);
  alternate.ss_size = 16 * page_size;
  alternate.ss_sp = map_anonymous(16);
  CHECK_EQ(sigaltstack(&alternate, NULL), 0);
  handle(SIGUSR1, count_signal, SA_ONSTACK);
  raise(SIGUSR1);
  CHECK(handler_frame - (uintptr_t)alternate.ss_sp < alternate.ss_size);
  handle(SIGUSR1, count_signal, 0);
  raise(SIGUSR1);
  CHECK(handler_frame - (uintptr_t)alternate.ss_sp >= alternate.ss_size);
  CHECK_EQ(sigaltstack(NULL, &now), 0);
  CHECK(now.ss_sp == alternate.ss_sp && now.ss_size == alternate.ss_size);
  volatile size_t tiny = 16;
  alternate.ss_size = tiny;
  CHECK_ERR(sigaltstack(&alternate, NULL), ENOMEM);
}

TEST(no_stack, "a signal whose frame has no room on the stack ends the process with SIGSEGV") {
  pid_t child = tap_fork();
  if (child == 0) {
    stack_t alternate;
    memset(&alternate, 0, sizeof alternate);
    alternate.ss_size = 16 * page_size;
    alternate.ss_sp = map_pages(16, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
    sigaltstack(&alternate, NULL);
    handle(SIGUSR1, count_signal, SA_ONSTACK);
    raise(SIGUSR1);
    _exit(1);
  }
  int status = tap_wait(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

// Starts a process that signals this one again and again, so that one signal finds it blocked in a system
// call.
static pid_t start_signalling(int signal_number) {
  pid_t parent = getpid(), child = tap_fork();
  if (child != 0) return child;
  for (;;) {
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    kill(parent, signal_number);
  }
}

static void stop_signalling(pid_t child) {
  CHECK_EQ(kill(child, SIGKILL), 0);
  tap_wait(child);
}

TEST(interrupted, "a blocked read is EINTR after a handler, and goes on with SA_RESTART") {
  int ends[2];
  char byte = 0;
  REQUIRE(pipe(ends) == 0);
  handle(SIGUSR1, count_signal, 0);
  pid_t signaller = start_signalling(SIGUSR1);
  CHECK_ERR(read(ends[0], &byte, 1), EINTR);
  CHECK(caught > 0);
  handle(SIGUSR1, count_signal, SA_RESTART);
  caught = 0;
  pid_t writer = tap_fork();
  if (writer == 0) {
    uint64_t end = tap_nanoseconds() + 100000000;
    while (tap_nanoseconds() < end) sched_yield();
    _exit(write(ends[1], "x", 1) != 1);
  }
  CHECK_EQ(read(ends[0], &byte, 1), 1);
  CHECK_EQ(byte, 'x');
  stop_signalling(signaller);
  tap_join(writer);
  CHECK(caught > 0);
}

TEST(interrupted_sleep,
     "nanosleep is EINTR after a handler and tells what was left; an ignored signal does not wake it") {
  struct timespec left = {0, 0};
  handle(SIGUSR1, count_signal, SA_RESTART);
  signal(SIGUSR2, SIG_IGN);
  pid_t signaller = start_signalling(SIGUSR1);
  CHECK_ERR(nanosleep(&(struct timespec){60, 0}, &left), EINTR);
  CHECK(left.tv_sec >= 30 && left.tv_sec < 60);
  stop_signalling(signaller);
  signaller = start_signalling(SIGUSR2);
  uint64_t start = tap_nanoseconds();
  CHECK_EQ(nanosleep(&(struct timespec){0, 150000000}, NULL), 0);
  CHECK(tap_nanoseconds() - start >= 150000000);
  stop_signalling(signaller);
}

TEST(suspend, "sigsuspend lets in just the signals its mask does and puts the old mask back") {
  sigset_t mask, now;
  handle(SIGUSR1, count_signal, 0);
  change_mask(SIG_BLOCK, SIGUSR1);
  raise(SIGUSR1);
  sigemptyset(&mask);
  CHECK_ERR(sigsuspend(&mask), EINTR);
  CHECK_EQ(caught, 1);
  sigprocmask(SIG_BLOCK, NULL, &now);
  CHECK_EQ(sigismember(&now, SIGUSR1), 1);
  pid_t signaller = start_signalling(SIGUSR1);
  CHECK_ERR(sigsuspend(&mask), EINTR);
  CHECK_EQ(caught, 2);
  stop_signalling(signaller);
}

TEST(child_signal, "SIGCHLD tells which child ended and how") {
  sigset_t mask;
  handle(SIGCHLD, count_signal, 0);
  change_mask(SIG_BLOCK, SIGCHLD);
  sigemptyset(&mask);
  pid_t child = tap_fork();
  if (child == 0) _exit(37);
  CHECK_ERR(sigsuspend(&mask), EINTR);
  CHECK_EQ(last, SIGCHLD);
  CHECK_EQ(last_info.si_pid, child);
  CHECK_EQ(last_info.si_code, CLD_EXITED);
  CHECK_EQ(last_info.si_status, 37);
  CHECK_EQ(tap_wait(child), 37 << 8);
  child = tap_fork();
  if (child == 0) raise(SIGKILL);
  CHECK_ERR(sigsuspend(&mask), EINTR);
  CHECK_EQ(last_info.si_code, CLD_KILLED);
  CHECK_EQ(last_info.si_status, SIGKILL);
  tap_wait(child);
}

TEST(no_zombies, "children of a process that ignores SIGCHLD leave no zombie and wait says ECHILD") {
  signal(SIGCHLD, SIG_IGN);
  for (int i = 0; i < 3; i++) {
    pid_t child = tap_fork();
    if (child == 0) _exit(0);
  }
  CHECK_ERR(waitpid(-1, NULL, 0), ECHILD);
}

TEST(
    alarm_clock,
    "alarm and setitimer send SIGALRM when the time is up, once or again and again, and not once cancelled") {
  handle(SIGALRM, count_signal, 0);
  uint64_t start = tap_nanoseconds();
  struct itimerval timer = {{0, 0}, {0, 30000}}, rest;
  CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
  CHECK_ERR(pause(), EINTR);
  CHECK(tap_nanoseconds() - start >= 30000000);
  CHECK_EQ(getitimer(ITIMER_REAL, &rest), 0);
  CHECK_EQ(rest.it_value.tv_sec * 1000000 + rest.it_value.tv_usec, 0);
  timer.it_interval.tv_usec = 5000;
  CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
  while (caught < 6) pause();
  timer.it_value.tv_usec = 0;
  CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
  CHECK_EQ(alarm(100), 0);
  CHECK(alarm(0) >= 99);
  CHECK_ERR(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 1000000}}, NULL), EINVAL);
}

TEST(groups, "a signal to a process group reaches its members and nobody else") {
  enum { members = 3 };
  pid_t children[members], leader = 0;
  for (int i = 0; i < members; i++) {
    children[i] = tap_fork();
    if (children[i] == 0)
      for (;;) pause();
    if (i == 0) leader = children[0];
    CHECK_EQ(setpgid(children[i], leader), 0);
    CHECK_EQ(getpgid(children[i]), leader);
  }
  CHECK_EQ(kill(-leader, SIGTERM), 0);
  for (int i = 0; i < members; i++) {
    int status = tap_wait(children[i]);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  }
  CHECK_ERR(kill(-leader, 0), ESRCH);
  CHECK_ERR(setpgid(0, 0x3fffffff), EPERM);
  CHECK_ERR(setpgid(0, -1), EINVAL);
}

TEST(stop_and_continue, "SIGSTOP stops a process, SIGCONT lets it go on, and wait tells of both") {
  volatile long* ticks = (volatile long*)map_shared(1);
  pid_t child = tap_fork();
  if (child == 0)
    for (;;) ++*ticks;
  while (*ticks == 0) sched_yield();
  int status = 0;
  CHECK_EQ(kill(child, SIGSTOP), 0);
  CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  long before = *ticks;
  for (int i = 0; i < 100; i++) sched_yield();
  CHECK_EQ(*ticks, before);
  CHECK_EQ(kill(child, SIGCONT), 0);
  CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
  CHECK(WIFCONTINUED(status));
  while (*ticks == before) sched_yield();
  CHECK_EQ(kill(child, SIGSTOP), 0);
  CHECK_EQ(kill(child, SIGKILL), 0);  // ends a stopped process too
  status = tap_wait(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void* wait_for_signal(void* argument) {
  sigset_t set = set_of(SIGUSR1);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  while (!caught) sched_yield();
  return argument;
}

TEST(threads, "a signal to one thread is handled, one to the process by a thread that does not block it") {
  pthread_t thread;
  handle(SIGUSR1, count_signal, 0);
  change_mask(SIG_BLOCK, SIGUSR1);
  for (int round = 0; round < 20; round++) {
    caught = 0;
    REQUIRE(pthread_create(&thread, NULL, wait_for_signal, NULL) == 0);
    if (round % 2)
      pthread_kill(thread, SIGUSR1);
    else
      kill(getpid(), SIGUSR1);
    pthread_join(thread, NULL);
    CHECK_EQ(caught, 1);
  }
}

TEST(illegal_instruction, "an illegal instruction is SIGILL at its address, a breakpoint SIGTRAP") {
  fault_catch();
  char* code = map_anonymous(2);
  memset(code, 0, page_size);
#ifdef __riscv
  code[page_size] = 0x02, code[page_size + 1] = (char)0x90;  // c.ebreak
#else
  code[0] = 0x0f, code[1] = 0x0b;  // ud2
  code[page_size] = (char)0xcc;    // int3
#endif
  REQUIRE(mprotect(code, 2 * page_size, PROT_READ | PROT_EXEC) == 0);
  __builtin___clear_cache(code, code + 2 * page_size);
  CHECK_FAULT(access_execute, code, SIGILL, fault_seen.code);
  CHECK_EQ(fault_of(access_execute, code + page_size).signal, SIGTRAP);
}
