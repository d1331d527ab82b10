// setrlimit: who may set which limit, and what happens at those that are about processor time, files and
// processes; and the numbers that nice keeps.
#include <sys/resource.h>
#include <sys/syscall.h>

#include "common/tap.h"

enum { somebody = 1000 };

static struct rlimit limit_of(int resource) {
  struct rlimit limit;
  REQUIRE(getrlimit(resource, &limit) == 0);
  return limit;
}

static void set_limits(int resource, rlim_t soft, rlim_t hard) {
  struct rlimit limit = {soft, hard};
  REQUIRE(setrlimit(resource, &limit) == 0);
}

// The calling process goes on as a user without privileges.
static void become_somebody(void) {
  if (geteuid() != 0) SKIP("only root can become somebody else");
  REQUIRE(setresgid(somebody, somebody, somebody) == 0 && setresuid(somebody, somebody, somebody) == 0);
}

static void ignore_signal(int number) { (void)number; }

static void count_signal(int number);

TEST(lowering, "anybody may lower a limit, and move the soft one up to the hard one again") {
  become_somebody();
  static const int resources[] = {RLIMIT_CORE, RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_NPROC, RLIMIT_NOFILE};
  for (size_t i = 0; i < sizeof resources / sizeof *resources; i++) {
    struct rlimit before = limit_of(resources[i]);
    rlim_t hard = before.rlim_max == RLIM_INFINITY ? 1000000 : before.rlim_max - 1;
    set_limits(resources[i], hard / 2, hard);
    CHECK_EQ(limit_of(resources[i]).rlim_cur, hard / 2);
    CHECK_EQ(limit_of(resources[i]).rlim_max, hard);
    set_limits(resources[i], hard, hard);
    struct rlimit higher = {hard, hard + 1};
    CHECK_ERR(setrlimit(resources[i], &higher), EPERM);
  }
}

TEST(raising, "root raises a hard limit; a soft one above its hard one is refused to all") {
  if (geteuid() != 0) SKIP("only root can raise a hard limit");
  set_limits(RLIMIT_FSIZE, 1000, 2000);
  struct rlimit raised = {1000, 3000};
  // Root of a container is not allowed to.
  if (!tap_on_faultline() && setrlimit(RLIMIT_FSIZE, &raised) != 0) SKIP("no CAP_SYS_RESOURCE");
  CHECK_EQ(setrlimit(RLIMIT_FSIZE, &raised), 0);
  struct rlimit crossed = {3001, 3000};
  CHECK_ERR(setrlimit(RLIMIT_FSIZE, &crossed), EINVAL);
  CHECK_ERR(setrlimit(RLIM_NLIMITS, &crossed), EINVAL);
}

TEST(inherited, "a child starts with its parent's limits and changes only its own") {
  set_limits(RLIMIT_NOFILE, 100, limit_of(RLIMIT_NOFILE).rlim_max);
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_EQ(limit_of(RLIMIT_NOFILE).rlim_cur, 100);
    set_limits(RLIMIT_NOFILE, 50, limit_of(RLIMIT_NOFILE).rlim_max);
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(limit_of(RLIMIT_NOFILE).rlim_cur, 100);
}

TEST(others, "prlimit reads and sets the limits of another process of the same user, and of no other's") {
  int hold[2];
  REQUIRE(pipe(hold) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    char byte;
    close(hold[1]);
    CHECK_EQ(read(hold[0], &byte, 1), 0);
    CHECK_EQ(limit_of(RLIMIT_FSIZE).rlim_cur, 12345);
    tap_exit();
  }
  close(hold[0]);
  struct rlimit limit = {12345, limit_of(RLIMIT_FSIZE).rlim_max}, read_back;
  CHECK_EQ(prlimit(child, RLIMIT_FSIZE, &limit, NULL), 0);
  CHECK_EQ(prlimit(child, RLIMIT_FSIZE, NULL, &read_back), 0);
  CHECK_EQ(read_back.rlim_cur, 12345);
  if (geteuid() == 0) {
    pid_t stranger = tap_fork();
    if (stranger == 0) {
      become_somebody();
      CHECK_ERR(prlimit(child, RLIMIT_FSIZE, NULL, &read_back), EPERM);
      tap_exit();
    }
    tap_join(stranger);
  }
  close(hold[1]);
  tap_join(child);
}

TEST(open_files, "no descriptor reaches RLIMIT_NOFILE, however it is asked for") {
  set_limits(RLIMIT_NOFILE, 20, limit_of(RLIMIT_NOFILE).rlim_max);
  int last = -1;
  for (int fd; (fd = dup(STDOUT_FILENO)) >= 0;) last = fd;
  CHECK_EQ(errno, EMFILE);
  CHECK_EQ(last, 19);
  CHECK_ERR(open("/", O_RDONLY), EMFILE);
  CHECK_ERR(dup2(STDOUT_FILENO, 20), EBADF);
  CHECK_ERR(fcntl(STDOUT_FILENO, F_DUPFD, 20), EINVAL);
}

static volatile sig_atomic_t signals_seen;
static void count_signal(int number) {
  (void)number;
  signals_seen++;
}

TEST(file_size, "a write up to RLIMIT_FSIZE is cut short there, one beyond is SIGXFSZ and EFBIG") {
  signal(SIGXFSZ, count_signal);
  char bytes[100] = {0};
  int fd = open(tap_path("limited"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  REQUIRE(fd >= 0);
  set_limits(RLIMIT_FSIZE, 150, limit_of(RLIMIT_FSIZE).rlim_max);
  CHECK_EQ(write(fd, bytes, 100), 100);
  CHECK_EQ(write(fd, bytes, 100), 50);
  CHECK_EQ(signals_seen, 0);
  CHECK_ERR(write(fd, bytes, 100), EFBIG);
  CHECK_EQ(signals_seen, 1);
  CHECK_ERR(pwrite(fd, bytes, 1, 1000), EFBIG);
  CHECK_ERR(ftruncate(fd, 151), EFBIG);
  CHECK_EQ(signals_seen, 3);
  CHECK_EQ(pwrite(fd, bytes, 100, 50), 100);
  CHECK_EQ(ftruncate(fd, 10), 0);
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  for (int i = 0; i < 3; i++) CHECK_EQ(write(ends[1], bytes, 100), 100);
  CHECK_EQ(signals_seen, 3);
}

TEST(file_size_kills, "the default of SIGXFSZ ends the process") {
  pid_t child = tap_fork();
  if (child == 0) {
    set_limits(RLIMIT_CORE, 0, 0);
    int fd = open(tap_path("limited"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    set_limits(RLIMIT_FSIZE, 0, 0);
    (void)!write(fd, "x", 1);
    _exit(0);
  }
  int status = tap_wait(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
}

static int status_of_loop(rlim_t soft, rlim_t hard, void (*handler)(int)) {
  pid_t child = tap_fork();
  if (child == 0) {
    set_limits(RLIMIT_CORE, 0, 0);
    signal(SIGXCPU, handler);
    set_limits(RLIMIT_CPU, soft, hard);
    for (volatile unsigned long i = 0;; i++) {
    }
  }
  return tap_wait(child);
}

TEST(cpu_time, "SIGXCPU ends what has run for the soft limit, SIGKILL what handles it until the hard one") {
  int status = status_of_loop(1, 10, SIG_DFL);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU);
  status = status_of_loop(1, 2, ignore_signal);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(cpu_time_inherited, "a child has its parent's limit of processor time for itself") {
  set_limits(RLIMIT_CPU, 1, 10);
  pid_t child = tap_fork();
  if (child == 0) {
    set_limits(RLIMIT_CORE, 0, 0);
    for (volatile unsigned long i = 0;; i++) {
    }
  }
  int status = tap_wait(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU);
}

TEST(processes, "RLIMIT_NPROC bounds the processes of a user, but not root's") {
  if (geteuid() != 0) SKIP("only root can become somebody else");
  set_limits(RLIMIT_NPROC, 2, 2);
  pid_t free = tap_fork();
  if (free == 0) tap_exit();
  tap_join(free);
  become_somebody();
  pid_t second = tap_fork();
  if (second == 0) {
    CHECK_ERR(fork(), EAGAIN);
    tap_exit();
  }
  tap_join(second);
}

TEST(fallocate, "posix_fallocate makes a file longer and keeps what is in it") {
  int fd = open(tap_path("allocated"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  REQUIRE(fd >= 0);
  REQUIRE(write(fd, "abc", 3) == 3);
  CHECK_EQ(posix_fallocate(fd, 0, 10000), 0);
  struct stat status;
  CHECK_EQ(fstat(fd, &status), 0);
  CHECK_EQ(status.st_size, 10000);
  char bytes[4] = {0};
  CHECK_EQ(pread(fd, bytes, 4, 0), 4);
  CHECK(memcmp(bytes, "abc", 4) == 0);
}

TEST(nice_kept, "a nice value is kept, handed on to children, and lowered by root alone") {
  CHECK_EQ(setpriority(PRIO_PROCESS, 0, 5), 0);
  CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
    CHECK_EQ(getpriority(PRIO_PGRP, 0), 5);
    become_somebody();
    CHECK_ERR(setpriority(PRIO_PROCESS, 0, 4), EACCES);
    CHECK_EQ(nice(2), 7);
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 100), 0);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
    CHECK_ERR(setpriority(PRIO_PROCESS, getppid(), 19), EPERM);
    tap_exit();
  }
  int status = tap_wait(child);
  CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == tap_status_skipped));
  CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
  CHECK_ERR(getpriority(PRIO_PROCESS, -1), ESRCH);
  CHECK_ERR(getpriority(3, 0), EINVAL);
}
