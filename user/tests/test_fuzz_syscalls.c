// Random system calls with hostile arguments, in one short-lived process after another: whatever a process
// asks for, it gets an answer or ends by itself or a signal, can be killed, and the kernel goes on for all
// others.
//
//   --seconds=N   how long (default 5)        --seed=S --from=I   begin with process I of seed S
#define TAP_OPTIONS "seconds", "from", "calls"
#include <grp.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "common/fuzz_calls.h"
#include "common/pages.h"
#include "common/turns.h"

enum { default_seconds = 5, default_calls = 150, cannot_confine = 78, cannot_start = 79 };
static const uint64_t report_interval = UINT64_C(1000000000);
static const uint64_t patience = UINT64_C(400000000);  // nanoseconds until a process is killed

static char* arena;  // pages that pointers may be into: readable and writable, read-only, none, a hole
// Relative names only, none that leads upwards: calls that remove or rename must meet nothing but the test's
// own.
static const char* const fuzz_paths[] = {
    "", ".", "fuzz-file", "fuzz-directory", "fuzz-directory/x", "fuzz-link", "fuzz-file/under"};

static uint64_t random_pointer(void) {
  switch (tap_below(10)) {
    case 0:
      return 0;
    case 1:
      return 0xffffffc000000000u + tap_below(1u << 31);
    case 2:
      return tap_random();
    case 3:
      return (uint64_t)(uintptr_t)arena + tap_below(4 * page_size);
    case 4:
      return (uint64_t)(uintptr_t)fuzz_paths[tap_below(sizeof fuzz_paths / sizeof *fuzz_paths)];
    case 5:
      return (uint64_t)(uintptr_t)arena + tap_below(5) * page_size - 1 - tap_below(16);
    default:
      return (uint64_t)(uintptr_t)arena + tap_below(page_size / 8) * 8;
  }
}

static uint64_t random_argument(void) {
  static const uint64_t edges[] = {0,           1,
                                   2,           7,
                                   8,           4095,
                                   4096,        4097,
                                   0x7fffffff,  0x80000000u,
                                   0xffffffffu, UINT64_C(1) << 38,
                                   INT64_MAX,   UINT64_C(1) << 63,
                                   UINT64_MAX,  UINT64_MAX - 4095};
  switch (tap_below(8)) {
    case 0:
      return edges[tap_below(sizeof edges / sizeof *edges)];
    case 1:
      return tap_below(16);  // a descriptor, a small count, a signal
    case 2:
      return UINT64_C(1) << tap_below(64);  // one flag
    case 3:
      return tap_below(1u << 20);
    case 4:
      return (uint64_t)AT_FDCWD;
    default:
      return random_pointer();
  }
}

// Fills the arena's first page with words that pass for sizes, flags and pointers inside structures.
static void stir_arena(void) {
  for (int i = 0; i < 32; i++) ((uint64_t*)arena)[tap_below(page_size / 8)] = random_argument();
}

static void one_call(bool any) {
  long number = fuzz_number(any);
  uint64_t a[6];
  for (int i = 0; i < 6; i++) a[i] = random_argument();
  if (FUZZ_LISTED(fuzz_on_process, number)) a[0] = tap_below(2) ? (uint64_t)getpid() : 0;
  if (!any && (number == SYS_mmap || number == SYS_mremap)) a[1] &= 0xffffff, a[2] &= 0xffffff;
  if (!any && number == SYS_brk) a[0] = 0;
  long result = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
#ifdef SYS_clone3
  if (number == SYS_clone3 && result == 0) _exit(0);
#endif
  if (number == SYS_clone && result == 0) _exit(0);
}

static void wake_up(int signal_number) { (void)signal_number; }

// Elsewhere than on Faultline the kernel is not what is tested and the machine is somebody's: the process
// gives up the file system but for the test's directory, and its privileges. A name may come up by chance
// that is in no list.
static void give_up_privileges(void) {
  const uid_t nobody = 65534;
  if (geteuid() != 0) return;
  if (chroot(".") != 0 || setgroups(0, NULL) != 0) _exit(cannot_confine);
  if (setresgid(nobody, nobody, nobody) != 0 || setresuid(nobody, nobody, nobody) != 0) _exit(cannot_confine);
  if (geteuid() == 0 || setuid(0) == 0) _exit(cannot_confine);
}

// What a process of the run starts with: nothing of the test's own, or of the machine's, that it could harm.
static void enter_sandbox(const char* directory, bool any) {
  // A session of its own, not a group: it could join the test's group again, and then signal "its" group.
  if (setsid() < 0) _exit(cannot_start);
  if (chdir(directory) != 0) _exit(cannot_start);
  for (int fd = 0; fd < 32; fd++) close(fd);
  open("/dev/null", O_RDWR);
  if (dup(0) != 1 || dup(0) != 2) _exit(cannot_start);
  open("/proc/self/maps", O_RDONLY);
  if (!any) give_up_privileges();
  int ends[2];
  if (pipe2(ends, O_NONBLOCK) < 0 || open("fuzz-file", O_RDWR | O_CREAT, 0644) < 0) _exit(cannot_start);
  open(".", O_RDONLY | O_DIRECTORY);
  // A timer breaks off what blocks; a process that has blocked the signal is killed from outside.
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = wake_up;
  sigaction(SIGALRM, &action, NULL);
  struct itimerval timer = {{0, 3000}, {0, 3000}};
  setitimer(ITIMER_REAL, &timer, NULL);
}

static void fuzz_process(const char* directory, uint64_t seed, bool any) {
  enter_sandbox(directory, any);
  tap_seed = seed;
  for (uint64_t i = tap_number("calls", default_calls); i > 0; i--) {
    if (i % 16 == 0) stir_arena();
    one_call(any);
  }
  _exit(0);
}

// A process makes no call that exits, so one that did not end by a signal or by itself had no sandbox to run
// in.
static void check_start(int status) {
  if (!WIFEXITED(status) || WEXITSTATUS(status) == 0) return;
  if (WEXITSTATUS(status) == cannot_confine)
    SKIP("cannot give up this user's privileges, and will not run with them");
  FAIL("a process ended with status %d before its first call", WEXITSTATUS(status));
}

// Returns false if the process did not even die of SIGKILL.
static bool await_end(pid_t child) {
  uint64_t limit = tap_nanoseconds() + patience;
  int status;
  pid_t ended;
  while ((ended = waitpid(child, &status, WNOHANG)) == 0 && tap_nanoseconds() < limit)
    nanosleep(&(struct timespec){0, 200000}, NULL);
  if (ended == 0) {
    kill(child, SIGKILL);
    limit = tap_nanoseconds() + UINT64_C(20000000000);
    while ((ended = waitpid(child, &status, WNOHANG)) == 0 && tap_nanoseconds() < limit)
      nanosleep(&(struct timespec){0, 1000000}, NULL);
  }
  kill(-child, SIGKILL);  // what it forked
  if (ended == child) check_start(status);
  return ended == child;
}

static uint64_t process_seed(uint64_t base, uint64_t index) {
  tap_seed = base + index * UINT64_C(0x9E3779B97F4A7C15);
  if (tap_seed == 0) tap_seed = 1;
  return tap_random();
}

static void prepare(void) {
  tap_path("");
  REQUIRE(chdir(tap_scratch) == 0);
  arena = map_anonymous(5);
  REQUIRE(mprotect(arena + page_size, page_size, PROT_READ) == 0);
  REQUIRE(mprotect(arena + 2 * page_size, page_size, PROT_NONE) == 0);
  REQUIRE(munmap(arena + 4 * page_size, page_size) == 0);
}

TEST(fuzz, "random system calls end, return or are killed, and every process is reaped") {
  uint64_t base = tap_seed, index = tap_number("from", 0);
  uint64_t reported = 0,
           end = tap_nanoseconds() + tap_number("seconds", default_seconds) * UINT64_C(1000000000);
  bool any = tap_on_faultline();
  prepare();
  for (; tap_nanoseconds() < end && !tap_failures; index++) {
    uint64_t seed = process_seed(base, index);
    if (tap_nanoseconds() - reported > report_interval) {
      reported = tap_nanoseconds();
      NOTE("process %llu: replay with --seed=%llu --from=%llu", (unsigned long long)index,
           (unsigned long long)base, (unsigned long long)index);
    }
    const char* directory = tap_path("sandbox");
    REQUIRE(mkdir(directory, 0777) == 0 && chmod(directory, 0777) == 0);
    pid_t child = tap_fork();
    if (child == 0) fuzz_process(directory, seed, any);
    if (!await_end(child))
      FAIL("process %llu cannot be killed: replay with --seed=%llu --from=%llu", (unsigned long long)index,
           (unsigned long long)base, (unsigned long long)index);
    nftw(directory, tap_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
  }
  NOTE("%llu processes", (unsigned long long)index);
}

TEST(still_working, "after that fork, exec, files, pipes and memory work as before") {
  fork_exec_and_wait();
  int fd = create_file(tap_path("file"), "content", 7), ends[2];
  char bytes[8] = "";
  CHECK_EQ(pread(fd, bytes, 7, 0), 7);
  CHECK(strcmp(bytes, "content") == 0);
  REQUIRE(pipe(ends) == 0);
  CHECK_EQ(write(ends[1], "x", 1), 1);
  CHECK_EQ(read(ends[0], bytes, 1), 1);
  char* area = map_anonymous(64);
  memset(area, 'm', 64 * page_size);
  CHECK_EQ(area[63 * page_size], 'm');
}
