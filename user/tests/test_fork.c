// Processes: that they come, end, are waited for and leave nothing behind.
#define TAP_OPTIONS "exhaust", "bomb"
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "common/memory.h"
#include "common/pages.h"
#include "common/threads.h"
#include "common/turns.h"

enum { warm_up = 50 };

static void fork_and_wait(void) {
  pid_t child = tap_fork();
  if (child == 0) _exit(0);
  tap_join(child);
}

static void run_many(void (*once)(void), int times) {
  for (int i = 0; i < warm_up; i++) once();
  struct memory_in_use before = memory_in_use();
  for (int i = 0; i < times && !tap_failures; i++) once();
  check_memory_returned(before);
}

TEST(processes_200, "after 200 processes one after another no more memory is in use than before") {
  require_quiet_machine();
  run_many(fork_and_wait, 200);
}

TEST(processes_1000, "after 1,000 processes one after another no more memory is in use than before") {
  require_quiet_machine();
  run_many(fork_and_wait, 1000);
}

static void fork_touch_and_wait(void) {
  enum { pages = 64 };
  char* area = map_anonymous(pages);
  memset(area, 'p', pages / 2 * page_size);
  pid_t child = tap_fork();
  if (child == 0) {
    memset(area, 'c', pages * page_size);
    memset(map_anonymous(pages), 'c', pages * page_size);
    _exit(0);
  }
  memset(area, 'q', pages * page_size);
  tap_join(child);
  munmap(area, pages * page_size);
}

TEST(touching, "after 200 processes that wrote shared and new pages no more memory is in use than before") {
  require_quiet_machine();
  run_many(fork_touch_and_wait, 200);
}

TEST(executing, "after 100 processes that executed a program no more memory is in use than before") {
  require_quiet_machine();
  run_many(fork_exec_and_wait, 100);
}

static void fork_fault_and_wait(void) {
  pid_t child = tap_fork();
  if (child == 0) {
    memset(map_anonymous(8), 1, 8 * page_size);
    volatile char* bad = (volatile char*)8;
    __asm__ volatile("" : "+r"(bad));
    *bad = 1;
    _exit(0);
  }
  int status = tap_wait(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

TEST(crashing, "after 100 processes ended by a bad access no more memory is in use than before") {
  require_quiet_machine();
  run_many(fork_fault_and_wait, 100);
}

static void* touch_stack(void* argument) {
  volatile char local[8 * page_size];
  for (size_t i = 0; i < sizeof local; i += page_size) local[i] = 1;
  return argument;
}

static void fork_threads_and_wait(void) {
  pid_t child = tap_fork();
  if (child == 0) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) REQUIRE(pthread_create(&threads[i], NULL, touch_stack, NULL) == 0);
    pthread_join(threads[0], NULL);
    _exit(0);  // while the others may still run
  }
  tap_join(child);
}

TEST(threads, "after 50 processes that exited under their threads no more memory is in use than before") {
  require_quiet_machine();
  run_many(fork_threads_and_wait, 50);
}

static void open_things(void) {
  int ends[2];
  CHECK_OK(pipe(ends));
  CHECK_EQ(write(ends[1], "left", 4), 4);
  CHECK_OK(open("/", O_RDONLY));
  pid_t child = fork();
  if (child == 0) _exit(0);  // a zombie left to whoever inherits it
  CHECK(child > 0);
}

static void fork_open_and_wait(void) {
  pid_t child = tap_fork();
  if (child == 0) {
    open_things();
    _exit(tap_failures != 0);
  }
  tap_join(child);
}

TEST(untidy, "after 100 processes that left pipes, files and a zombie no more memory is in use than before") {
  require_quiet_machine();
  run_many(fork_open_and_wait, 100);
}

static int deepen(int depth) {
  if (depth == 0) return 0;
  pid_t child = fork();
  if (child == 0) _exit(deepen(depth - 1) + 1);
  if (child < 0) return 200;
  int status = tap_wait(child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 201;
}

TEST(deep, "a line of 100 processes, each the child of the last, ends in order") {
  int depth = tap_copies_in_fork() ? 20 : 100;
  CHECK_EQ(deepen(depth), depth);
  if (!tap_on_faultline()) return;
  struct memory_in_use before = memory_in_use();
  CHECK_EQ(deepen(depth), depth);
  check_memory_returned(before);
}

// Forks children that wait for `release` to be closed until fork fails or `most` exist; returns how many.
static int fork_crowd(pid_t* children, int most, const int release[2], int* error) {
  int count = 0;
  *error = 0;
  while (count < most) {
    pid_t child = fork();
    if (child == 0) {
      char byte;
      close(release[1]);
      _exit(read(release[0], &byte, 1) == 0 ? 0 : 1);
    }
    if (child < 0) {
      *error = errno;
      break;
    }
    children[count++] = child;
  }
  return count;
}

TEST(bomb, "forking until it fails gives EAGAIN or ENOMEM, and once the crowd is gone fork works again") {
  int most = (int)tap_number("bomb", tap_option("exhaust") ? 20000 : 300), error, release[2];
  pid_t* children = (pid_t*)calloc(most, sizeof *children);
  REQUIRE(children && pipe(release) == 0);
  int count = fork_crowd(children, most, release, &error);
  if (count < most) CHECK(error == EAGAIN || error == ENOMEM);
  NOTE("%d children%s%s", count, error ? ", then " : "", error ? strerrorname_np(error) : "");
  CHECK(count > 8);
  close(release[1]);
  for (int i = 0; i < count; i++) tap_join(children[i]);
  fork_and_wait();
  free(children);
}

TEST(exit_codes, "wait tells the low eight bits of the exit status") {
  static const int codes[] = {0, 1, 42, 127, 128, 255, 256, 257, -1};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    pid_t child = tap_fork();
    if (child == 0) _exit(codes[i]);
    int status = tap_wait(child);
    CHECK_EQ(status, (codes[i] & 255) << 8);
  }
}

TEST(signals, "wait tells the signal that ended a process") {
  static const int signals[] = {SIGTERM, SIGKILL, SIGHUP,  SIGPIPE, SIGUSR1,
                                SIGALRM, SIGSEGV, SIGABRT, SIGILL};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
    pid_t child = tap_fork();
    if (child == 0)
      for (;;) pause();
    CHECK_OK(kill(child, signals[i]));
    int status = tap_wait(child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), signals[i]);
  }
}

TEST(no_hang, "WNOHANG gives 0 while the child runs and its pid once it ended") {
  int release, status = 77;
  pid_t child = fork_held(&release);
  if (child == 0) _exit(3);
  CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
  CHECK_EQ(waitpid(-1, &status, WNOHANG), 0);
  close(release);
  CHECK_EQ(waitpid(child, &status, 0), child);
  CHECK_EQ(WEXITSTATUS(status), 3);
  CHECK_ERR(waitpid(child, &status, WNOHANG), ECHILD);
}

TEST(no_child, "waiting without a child, or for another's child, is ECHILD") {
  CHECK_ERR(waitpid(-1, NULL, 0), ECHILD);
  CHECK_ERR(waitpid(getppid(), NULL, 0), ECHILD);
  CHECK_ERR(waitpid(1, NULL, 0), ECHILD);
  CHECK_ERR(wait4(-1, NULL, 0x40000000 | 0x100, NULL), EINVAL);
}

TEST(wait_particular, "waiting for one child leaves the others to be waited for") {
  pid_t first = tap_fork();
  if (first == 0) _exit(1);
  pid_t second = tap_fork();
  if (second == 0) _exit(2);
  int status = 0;
  CHECK_EQ(waitpid(second, &status, 0), second);
  CHECK_EQ(WEXITSTATUS(status), 2);
  CHECK_EQ(waitpid(-1, &status, 0), first);
  CHECK_EQ(WEXITSTATUS(status), 1);
}

TEST(wait_group, "waiting for a process group takes only its members") {
  pid_t inside = tap_fork();
  if (inside == 0) {
    setpgid(0, 0);
    _exit(1);
  }
  setpgid(inside, inside);
  pid_t outside = tap_fork();
  if (outside == 0) _exit(2);
  CHECK_EQ(waitpid(-inside, NULL, 0), inside);
  CHECK_ERR(waitpid(-inside, NULL, 0), ECHILD);
  CHECK_EQ(waitpid(0, NULL, 0), outside);
}

TEST(usage, "wait4 tells the time and page faults of the child") {
  pid_t child = tap_fork();
  if (child == 0) {
    memset(map_anonymous(32), 1, 32 * page_size);
    uint64_t end = tap_nanoseconds() + UINT64_C(30000000);
    while (tap_nanoseconds() < end) continue;
    _exit(0);
  }
  struct rusage usage;
  memset(&usage, 0xff, sizeof usage);
  int status;
  CHECK_EQ(wait4(child, &status, 0, &usage), child);
  CHECK(usage.ru_utime.tv_sec >= 0 && usage.ru_utime.tv_sec < 60);
  if (!tap_loads_in_mmap() && !tap_emulated()) CHECK(usage.ru_minflt >= (tap_may_load_neighbours() ? 2 : 32));
}

TEST(zombie, "a process that ended keeps its pid until it is waited for") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  pid_t child = tap_fork();
  if (child == 0) _exit(0);
  char byte;
  close(ends[1]);
  CHECK_EQ(read(ends[0], &byte, 1), 0);  // the child's end is closed: it has ended or is about to
  CHECK_OK(kill(child, 0));
  tap_join(child);
  CHECK_ERR(kill(child, 0), ESRCH);
}

TEST(orphan, "a process whose parent ended gets another parent, which waits for it") {
  int report[2], hold[2];
  REQUIRE(pipe(report) == 0 && pipe(hold) == 0);
  pid_t middle = tap_fork();
  if (middle == 0) {
    pid_t parent = getpid(), orphan = tap_fork();
    if (orphan == 0) {
      char byte;
      close(hold[1]);
      CHECK_EQ(read(hold[0], &byte, 1), 0);
      pid_t now[2] = {getpid(), getppid() == parent ? 0 : getppid()};
      REQUIRE(write(report[1], now, sizeof now) == sizeof now);
      _exit(0);
    }
    _exit(0);
  }
  tap_join(middle);
  close(hold[1]);
  pid_t orphan[2] = {0, 0};
  CHECK_EQ(read(report[0], orphan, sizeof orphan), sizeof orphan);
  if (tap_on_faultline())
    CHECK_EQ(orphan[1], 1);
  else
    CHECK(orphan[1] > 0);
  uint64_t limit = tap_nanoseconds() + UINT64_C(5000000000);
  while (kill(orphan[0], 0) == 0 && tap_nanoseconds() < limit) sched_yield();
  CHECK_ERR(kill(orphan[0], 0), ESRCH);
}

// A process made by clone with these flags alone.
static pid_t clone_process(unsigned long flags) { return (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0); }

TEST(sibling,
     "a child made with CLONE_PARENT is the parent's, which gets no other signal than by the caller's end") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    pid_t sibling = clone_process(CLONE_PARENT | SIGUSR1);
    if (sibling == 0) _exit(7);
    REQUIRE(write(ends[1], &sibling, sizeof sibling) == sizeof sibling);
    CHECK_ERR(waitpid(sibling, NULL, 0), ECHILD);
    tap_exit();
  }
  pid_t sibling;
  REQUIRE(read(ends[0], &sibling, sizeof sibling) == sizeof sibling);
  CHECK_EQ(WEXITSTATUS(tap_wait(sibling)), 7);  // SIGUSR1 would have ended this process
  tap_join(child);
}

TEST(exit_signal, "a program ends with SIGCHLD to its parent, whatever signal its process was made with") {
  signal(SIGUSR1, SIG_IGN);
  pid_t child = clone_process(SIGUSR1);
  if (child == 0) _exit(7);
  CHECK_ERR(waitpid(child, NULL, 0), ECHILD);
  int status = 0;
  CHECK_EQ(waitpid(child, &status, __WCLONE), child);
  CHECK_EQ(WEXITSTATUS(status), 7);
  signal(SIGUSR1, SIG_DFL);
  child = clone_process(SIGUSR1);
  if (child == 0) execl("/bin/true", "true", (char*)NULL);
  CHECK_EQ(waitpid(child, &status, __WALL), child);
  CHECK_EQ(WEXITSTATUS(status), 0);
}

TEST(identity, "parent and child have pids that agree and differ from all others alive") {
  pid_t self = getpid();
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK(getpid() != self);
    CHECK_EQ(getppid(), self);
    CHECK_EQ(getpgrp(), getpgid(self));
    tap_exit();
  }
  CHECK(child != self && child > 0);
  tap_join(child);
}

TEST(descriptors, "a child's descriptors are its own, the files behind them shared with their offset") {
  int fd = create_file(tap_path("file"), "0123456789", 10);
  lseek(fd, 2, SEEK_SET);
  pid_t child = tap_fork();
  if (child == 0) {
    char bytes[3];
    CHECK_EQ(read(fd, bytes, 3), 3);
    CHECK_EQ(bytes[0], '2');
    close(fd);
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
}

TEST(killed_in_vfork, "SIGKILL ends a process that waits in vfork, whatever its child does") {
  if (tap_emulated()) SKIP("the emulator makes a fork of it");
  int told[2];
  REQUIRE(pipe(told) == 0);
  pid_t parent = tap_fork();
  if (parent == 0) {
    if (vfork() == 0) {
      pid_t self = getpid();
      if (write(told[1], &self, sizeof self) == sizeof self)
        for (;;) pause();
    }
    _exit(0);
  }
  pid_t child;
  REQUIRE(read(told[0], &child, sizeof child) == sizeof child);
  CHECK_OK(kill(parent, SIGKILL));
  CHECK_EQ(tap_wait(parent), SIGKILL);
  CHECK_OK(kill(child, SIGKILL));
}
