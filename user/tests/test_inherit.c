// What fork, vfork, clone and execve hand on and what they do not, and what wait tells of a child.
#include <grp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "common/signals.h"

static bool is_blocked(int number) {
  sigset_t blocked;
  REQUIRE(sigprocmask(SIG_BLOCK, NULL, &blocked) == 0);
  return sigismember(&blocked, number);
}

TEST(signals_over_fork,
     "a child blocks what its parent blocks, and has none of its parent's pending signals") {
  sigset_t set = set_of(SIGUSR1);
  REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
  REQUIRE(raise(SIGUSR1) == 0 && kill(getpid(), SIGUSR1) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK(is_blocked(SIGUSR1));
    CHECK(!is_pending(SIGUSR1));
    tap_exit();
  }
  tap_join(child);
  CHECK(is_pending(SIGUSR1));
}

static char alternate[65536] __attribute__((aligned(16)));

static void use_alternate_stack(void) {
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  REQUIRE(sigaltstack(&stack, NULL) == 0);
}

static bool has_alternate_stack(void) {
  stack_t stack;
  REQUIRE(sigaltstack(NULL, &stack) == 0);
  return (stack.ss_flags & SS_DISABLE) == 0 && stack.ss_sp == alternate;
}

static int thread_has_alternate_stack(void* result) {
  stack_t stack = {0};
  *(int*)result = syscall(SYS_sigaltstack, NULL, &stack) == 0 ? (int)(stack.ss_flags & SS_DISABLE) : -1;
  return 0;
}

TEST(alternate_stack, "a child keeps the alternate stack of its parent, a task in the same memory has none") {
  use_alternate_stack();
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK(has_alternate_stack());
    tap_exit();
  }
  tap_join(child);
  static char stack[65536] __attribute__((aligned(16)));
  int disabled = 0;
  child = clone(thread_has_alternate_stack, stack + sizeof stack, CLONE_VM | SIGCHLD, &disabled);
  REQUIRE(child > 0);
  tap_join(child);
  CHECK_EQ(disabled, SS_DISABLE);
}

enum { real_group = 1, effective_group = 2 };

// The first thing that the executed program does: a case would run in a child of its own. The C library
// passes its arguments to constructors.
__attribute__((constructor)) static void look_after_exec(int argc, char** argv) {
  if (argc != 2 || strcmp(argv[1], "after-exec") != 0) return;
  stack_t stack;
  bool right = is_blocked(SIGUSR1) && is_pending(SIGUSR1) && sigaltstack(NULL, &stack) == 0 &&
               (stack.ss_flags & SS_DISABLE) != 0;
  gid_t real, effective, saved;
  if (getresgid(&real, &effective, &saved) != 0) right = false;
  if (geteuid() == 0)
    right = right && real == real_group && effective == effective_group && saved == effective_group;
  _exit(right ? 0 : 1);
}

TEST(over_exec,
     "a program keeps mask and pending signals; the saved group becomes the effective one, the alternate "
     "stack goes") {
  pid_t child = tap_fork();
  if (child == 0) {
    sigset_t set = set_of(SIGUSR1);
    use_alternate_stack();
    REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && kill(getpid(), SIGUSR1) == 0);
    if (geteuid() == 0) REQUIRE(setresgid(real_group, effective_group, 3) == 0);
    char* arguments[] = {(char*)"test_inherit", (char*)"after-exec", NULL};
    execv("/proc/self/exe", arguments);
    _exit(2);
  }
  tap_join(child);
}

TEST(identities,
     "a child has all the user and group numbers of its parent, the saved ones and the list included") {
  if (geteuid() != 0) SKIP("only root can have several");
  gid_t groups[] = {7, 8, 9};
  REQUIRE(setgroups(3, groups) == 0 && setresgid(1, 2, 3) == 0 && setresuid(4, 5, 6) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    uid_t user[3];
    gid_t group[3], list[8];
    CHECK_EQ(getresuid(&user[0], &user[1], &user[2]), 0);
    CHECK_EQ(getresgid(&group[0], &group[1], &group[2]), 0);
    CHECK(user[0] == 4 && user[1] == 5 && user[2] == 6);
    CHECK(group[0] == 1 && group[1] == 2 && group[2] == 3);
    CHECK_EQ(getgroups(8, list), 3);
    CHECK(list[0] == 7 && list[1] == 8 && list[2] == 9);
    tap_exit();
  }
  tap_join(child);
}

TEST(fork_under_signals,
     "signals that come during fork are all handled, and fork makes one child each time") {
  struct sigaction action = {.sa_handler = note_signal};
  REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
  pid_t target = getpid();
  pid_t sender = tap_fork();
  if (sender == 0)
    for (;;) kill(target, SIGUSR1);
  // Until the signals do come.
  while (signals_seen == 0) sched_yield();
  for (int i = 0; i < 50; i++) {
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) _exit(i);
    CHECK_EQ(tap_wait(child), i << 8);
  }
  kill(sender, SIGKILL);
  tap_wait(sender);
}

static double seconds_of(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

// The processor time of this process, or of its children.
static double used(int who) {
  struct rusage usage;
  REQUIRE(getrusage(who, &usage) == 0);
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

static void compute_for(double seconds) {
  do {
    for (volatile int i = 0; i < 100000; i++) {
    }
  } while (used(RUSAGE_SELF) < seconds);
}

TEST(grandchildren,
     "the times of children count when they are waited for, with those of their own children") {
  double* at_least = mmap(NULL, sizeof *at_least, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(at_least != MAP_FAILED);
  pid_t child = tap_fork();
  if (child == 0) {
    pid_t grandchild = tap_fork();
    if (grandchild == 0) {
      compute_for(0.1);
      *at_least = used(RUSAGE_SELF);
      tap_exit();
    }
    tap_join(grandchild);
    tap_exit();
  }
  siginfo_t info;
  REQUIRE(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0);
  CHECK(used(RUSAGE_CHILDREN) == 0);
  tap_join(child);
  CHECK(used(RUSAGE_CHILDREN) >= *at_least);
}

TEST(time_over_fork, "a child begins with no time used, of its own or of children") {
  pid_t child = tap_fork();
  if (child == 0) tap_exit();
  tap_join(child);
  compute_for(0.1);
  double before = used(RUSAGE_SELF);
  uint64_t forked = tap_nanoseconds();
  child = tap_fork();
  if (child == 0) {
    CHECK(used(RUSAGE_CHILDREN) == 0);
    // It cannot have used more than has gone by, whatever else this machine does.
    double own = used(RUSAGE_SELF), elapsed = (double)(tap_nanoseconds() - forked) / 1e9;
    if (own > elapsed) FAIL("%f s are used, %f have gone by, %f the parent had used", own, elapsed, before);
    tap_exit();
  }
  tap_join(child);
}

static void expect_change(pid_t child, int options, int code, int status) {
  for (int i = 0; i < 3; i++) {
    siginfo_t info = {0};
    CHECK_EQ(waitid(P_PID, (id_t)child, &info, options | (i < 2 ? WNOWAIT : 0)), 0);
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_code, code);
    CHECK_EQ(info.si_status, status);
  }
  siginfo_t info = {0};
  int again = waitid(P_PID, (id_t)child, &info, options | WNOHANG);
  if (code == CLD_EXITED || code == CLD_KILLED)
    CHECK_EQ(again, -1);
  else
    CHECK_EQ(info.si_pid, 0);
}

TEST(no_wait, "WNOWAIT leaves a stop, a continuation and an end to be waited for again") {
  pid_t child = tap_fork();
  if (child == 0)
    for (;;) pause();
  REQUIRE(kill(child, SIGSTOP) == 0);
  expect_change(child, WSTOPPED, CLD_STOPPED, SIGSTOP);
  REQUIRE(kill(child, SIGCONT) == 0);
  expect_change(child, WCONTINUED, CLD_CONTINUED, SIGCONT);
  REQUIRE(kill(child, SIGTERM) == 0);
  expect_change(child, WEXITED, CLD_KILLED, SIGTERM);
  child = tap_fork();
  if (child == 0) _exit(42);
  expect_change(child, WEXITED, CLD_EXITED, 42);
}

TEST(user_mode, "a signal reaches a thread that computes and never enters the kernel") {
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    struct sigaction action = {.sa_handler = note_signal};
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    REQUIRE(write(ready[1], "r", 1) == 1);
    while (signals_seen == 0) {
    }
    tap_exit();
  }
  char byte;
  REQUIRE(read(ready[0], &byte, 1) == 1);
  REQUIRE(kill(child, SIGUSR1) == 0);
  tap_join(child);
}

TEST(pending_before_sleep, "a signal that is pending already ends the sleep of the call that lets it in") {
  struct sigaction action = {.sa_handler = note_signal};
  REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
  sigset_t set = set_of(SIGUSR1), none;
  sigemptyset(&none);
  REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
  for (int i = 0; i < 10; i++) {
    REQUIRE(raise(SIGUSR1) == 0);
    CHECK_ERR(sigsuspend(&none), EINTR);
    CHECK_EQ(signals_seen, i + 1);
  }
}

TEST(one_shot_flags, "SA_RESETHAND puts the default back and keeps the flags and the mask") {
  struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESETHAND | SA_SIGINFO | SA_RESTART},
                   after;
  action.sa_mask = set_of(SIGUSR2);
  REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
  REQUIRE(raise(SIGUSR1) == 0);
  REQUIRE(sigaction(SIGUSR1, NULL, &after) == 0);
  CHECK(after.sa_handler == SIG_DFL);
  CHECK_EQ(after.sa_flags & (SA_RESETHAND | SA_SIGINFO | SA_RESTART), SA_RESETHAND | SA_SIGINFO | SA_RESTART);
  CHECK(sigismember(&after.sa_mask, SIGUSR2));
}

TEST(empty_path, "execveat with AT_EMPTY_PATH runs the file of a descriptor, whatever its name") {
  int program = open("/proc/self/exe", O_PATH | O_CLOEXEC);
  REQUIRE(program >= 0);
  char* arguments[] = {"test_inherit", "--list", NULL};
  char* none[] = {NULL};
  pid_t child = tap_fork();
  if (child == 0) {
    int null = open("/dev/null", O_WRONLY);
    REQUIRE(dup2(null, STDOUT_FILENO) == STDOUT_FILENO);
    syscall(SYS_execveat, program, "", arguments, none, AT_EMPTY_PATH);
    _exit(1);
  }
  tap_join(child);
  CHECK_ERR(syscall(SYS_execveat, program, "", arguments, none, 0), ENOENT);
  CHECK_ERR(syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, none, 1), EINVAL);
  const char* link = tap_path("link");
  REQUIRE(symlink("/proc/self/exe", link) == 0);
  CHECK_ERR(syscall(SYS_execveat, AT_FDCWD, link, arguments, none, AT_SYMLINK_NOFOLLOW), ELOOP);
}
