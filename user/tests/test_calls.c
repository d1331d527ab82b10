// Promises of single calls that few programs lean on, and that are easily broken unseen.
#include <limits.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "common/pages.h"
#include "common/threads.h"
#include "common/turns.h"

// The superuser may do everything, so what permissions forbid is tried as somebody else.
static void become_ordinary(void) {
  if (geteuid() == 0) REQUIRE(setresuid(1000, 1000, 1000) == 0);
}

TEST(lowest_descriptor, "a new descriptor is the lowest that is free, from the one on that F_DUPFD names") {
  close(0);
  CHECK_EQ(open("/", O_RDONLY), 0);
  CHECK_EQ(fcntl(0, F_DUPFD, 30), 30);
  CHECK_EQ(fcntl(0, F_DUPFD, 30), 31);
  close(30);
  CHECK_EQ(fcntl(0, F_DUPFD_CLOEXEC, 30), 30);
}

TEST(dup_stays_open, "close-on-exec is a descriptor's own: dup and dup2 do not copy it") {
  int file = open("/", O_RDONLY | O_CLOEXEC);
  CHECK_EQ(fcntl(dup(file), F_GETFD), 0);
  CHECK_EQ(fcntl(dup2(file, 40), F_GETFD), 0);
  CHECK_EQ(fcntl(dup3(file, 41, O_CLOEXEC), F_GETFD), FD_CLOEXEC);
  CHECK_EQ(fcntl(file, F_GETFD), FD_CLOEXEC);
}

TEST(write_permission, "who may only read a file may not open it for writing, nor cut it off") {
  const char* path = tap_path("file");
  close(open(path, O_CREAT | O_WRONLY, 0444));
  become_ordinary();
  CHECK_OK(open(path, O_RDONLY));
  CHECK_ERR(open(path, O_WRONLY), EACCES);
  CHECK_ERR(open(path, O_RDWR), EACCES);
  CHECK_ERR(open(path, O_RDONLY | O_TRUNC), EACCES);
}

TEST(search_permission, "without the right to search a directory nothing in it is reached") {
  struct stat info;
  const char* directory = tap_path("directory");
  const char* file = tap_path("directory/file");
  REQUIRE(mkdir(directory, 0755) == 0);
  close(creat(file, 0644));
  CHECK_OK(chmod(directory, 0644));
  pid_t child = tap_fork();
  if (child == 0) {
    become_ordinary();
    CHECK_ERR(stat(file, &info), EACCES);
    CHECK_ERR(open(file, O_RDONLY), EACCES);
    CHECK_OK(stat(directory, &info));
    tap_exit();
  }
  tap_join(child);
  CHECK_OK(chmod(directory, 0755));
}

TEST(trailing_slash, "a path that ends with a slash names a directory or nothing") {
  struct stat info;
  close(creat(tap_path("file"), 0644));
  CHECK_ERR(stat(tap_path("file/"), &info), ENOTDIR);
  CHECK_ERR(open(tap_path("file/"), O_RDONLY), ENOTDIR);
  REQUIRE(mkdir(tap_path("directory"), 0755) == 0);
  CHECK_OK(stat(tap_path("directory/"), &info));
}

TEST(negative_vector, "a vector with a negative length is refused before anything is moved") {
  char bytes[4] = "abc";
  int ends[2];
  REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
  struct iovec vectors[] = {{bytes, 3}, {bytes, (size_t)-1}};
  CHECK_ERR(writev(ends[1], vectors, 2), EINVAL);
  CHECK_ERR(read(ends[0], bytes, 1), EAGAIN);
  CHECK_ERR(readv(ends[0], vectors, 2), EINVAL);
}

TEST(sendfile_to_a_full_pipe, "sendfile's offset moves by what the output has taken") {
  enum { file_bytes = 256 * 1024 };
  char byte = 0;
  int ends[2];
  REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
  int file = open(tap_path("file"), O_CREAT | O_RDWR, 0600);
  REQUIRE(ftruncate(file, file_bytes) == 0);
  REQUIRE(write(ends[1], &byte, 1) == 1);  // so that the pipe's room is no multiple of any step
  off_t offset = 0;
  ssize_t sent = sendfile(ends[1], file, &offset, file_bytes);
  CHECK(sent > 0 && sent < file_bytes);
  CHECK_EQ(offset, sent);
  CHECK_EQ(lseek(file, 0, SEEK_CUR), 0);
}

static void* burn_processor_time(void* spent) {
  struct timespec now;
  do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  while (now.tv_sec == 0 && now.tv_nsec < 50 * 1000 * 1000);
  *(struct timespec*)spent = now;
  return NULL;
}

TEST(processor_clocks,
     "a thread's processor clock leaves out what its siblings use, the process's does not") {
  struct timespec sibling, own, all;
  pthread_join(start(burn_processor_time, &sibling), NULL);
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &own);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &all);
  int64_t parts = (own.tv_sec + sibling.tv_sec) * INT64_C(1000000000) + own.tv_nsec + sibling.tv_nsec;
  CHECK(all.tv_sec * INT64_C(1000000000) + all.tv_nsec >= parts);
}

#ifdef __riscv
enum { round_to_nearest = 0, round_up = 3 };
static void set_rounding(unsigned long mode) { __asm__ volatile("fsrm %0" : : "r"(mode)); }
static unsigned long rounding(void) {
  unsigned long mode;
  __asm__ volatile("frrm %0" : "=r"(mode));
  return mode;
}
static void round_otherwise(int signal_number) {
  (void)signal_number;
  set_rounding(round_to_nearest);
}

TEST(rounding_over_fork, "a forked child keeps the floating-point state of the thread that forked") {
  set_rounding(round_up);
  pid_t child = tap_fork();
  CHECK_EQ(rounding(), round_up);
  if (child == 0) tap_exit();
  tap_join(child);
}

TEST(rounding_over_signal, "the rounding mode comes back when a handler returns that has changed it") {
  signal(SIGUSR1, round_otherwise);
  set_rounding(round_up);
  raise(SIGUSR1);
  CHECK_EQ(rounding(), round_up);
}
#endif

TEST(stop_status, "the status of a stopped child names the signal that stopped it") {
  int status = 0;
  pid_t child = tap_fork();
  if (child == 0) {
    raise(SIGSTOP);
    for (;;) pause();
  }
  CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  kill(child, SIGCONT);
  CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
  CHECK(WIFCONTINUED(status));
  kill(child, SIGKILL);
  CHECK_EQ(waitpid(child, &status, 0), child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(all_readers_see_the_end, "everybody who waits for a pipe's bytes is told when its last writer is gone") {
  enum { readers = 3 };
  int ends[2];
  pid_t children[readers];
  REQUIRE(pipe(ends) == 0);
  for (int i = 0; i < readers; i++) {
    children[i] = tap_fork();
    if (children[i] == 0) {
      char byte;
      close(ends[1]);
      CHECK_EQ(read(ends[0], &byte, 1), 0);
      tap_exit();
    }
  }
  for (int i = 0; i < readers; i++) wait_until_asleep(children[i]);
  close(ends[1]);
  for (int i = 0; i < readers; i++) tap_join(children[i]);
}

TEST(poll_sees_room, "who polls a full pipe for writing is told when somebody has read from it") {
  char bytes[PIPE_BUF] = "";
  int ends[2];
  REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
  while (write(ends[1], bytes, sizeof bytes) > 0) continue;
  pid_t child = tap_fork();
  if (child == 0) {
    struct pollfd entry = {.fd = ends[1], .events = POLLOUT};
    CHECK_EQ(poll(&entry, 1, -1), 1);
    CHECK_EQ(entry.revents, POLLOUT);
    tap_exit();
  }
  wait_until_asleep(child);
  CHECK_EQ(read(ends[0], bytes, sizeof bytes), sizeof bytes);
  tap_join(child);
}

TEST(continue_cancels_stops, "SIGCONT takes away the stop signals that are pending, and they take it away") {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTSTP);
  sigaddset(&set, SIGCONT);
  REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
  kill(getpid(), SIGTSTP);
  sigpending(&set);
  CHECK(sigismember(&set, SIGTSTP) == 1);
  kill(getpid(), SIGCONT);
  sigpending(&set);
  CHECK(sigismember(&set, SIGTSTP) == 0 && sigismember(&set, SIGCONT) == 1);
  kill(getpid(), SIGTSTP);
  sigpending(&set);
  CHECK(sigismember(&set, SIGTSTP) == 1 && sigismember(&set, SIGCONT) == 0);
  signal(SIGTSTP, SIG_IGN);  // the case is not to end stopped
}

TEST(fault_while_blocked, "a fault whose signal is blocked ends the process, whatever its handler") {
  if (tap_emulated()) SKIP("the emulator ends itself");
  volatile char* page = map_pages(1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
  pid_t child = tap_fork();
  if (child == 0) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    signal(SIGSEGV, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    *page = 1;
    _exit(1);
  }
  int status = tap_wait(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

TEST(real_time_signals,
     "real-time signals queue: each comes, the lowest number first, in the order they were sent") {
  static const int expected[][2] = {{0, 2}, {0, 3}, {1, 1}};
  sigset_t set;
  siginfo_t info;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  sigaddset(&set, SIGRTMIN + 1);
  REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
  CHECK_OK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 1}));
  CHECK_OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 2}));
  CHECK_OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 3}));
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + expected[i][0]);
    CHECK_EQ(info.si_value.sival_int, expected[i][1]);
  }
  CHECK_ERR(sigtimedwait(&set, &info, &(struct timespec){0}), EAGAIN);
}
