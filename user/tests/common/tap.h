// The frame of every guest test program: cases that run one by one in processes of their own and are
// reported in the Test Anything Protocol.
//
//   TEST(child_write, "a child's write is not seen by its parent") { CHECK_EQ(page[0], 'p'); }
//
// Each case is a child process in its own process group, so one that crashes, exits or hangs is one
// "not ok" line and the cases after it still run. CHECK records a failure and goes on; REQUIRE ends the
// process. A case that forks further passes its children's failures upwards with tap_exit/tap_join.
//
// Command line: [--option[=value]]... [case]...   (--list shows the cases, --seed=N replays a run)
#pragma once

#ifndef _GNU_SOURCE
#error "the test programs use Linux's own interfaces: compile with -D_GNU_SOURCE="
#endif
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TAP_UNUSED __attribute__((unused))

enum { tap_status_passed = 0, tap_status_failed = 1, tap_status_usage = 2, tap_status_skipped = 77 };
enum { tap_default_timeout = 120 };

struct tap_case {
  const char* id;
  const char* name;
  void (*run)(void);
  struct tap_case* next;
};

static struct tap_case* tap_first_case;
static struct tap_case** tap_last_link = &tap_first_case;
static int tap_failures;
static int tap_argument_count;
static char** tap_arguments;
static char tap_program[32];
static char tap_scratch[64];
static uint64_t tap_seed;
static volatile pid_t tap_running;
static volatile sig_atomic_t tap_timed_out;

// Options beyond the common ones: a program defines TAP_OPTIONS as a list of strings before including this.
#ifndef TAP_OPTIONS
#define TAP_OPTIONS ""
#endif
static const char* const tap_known_options[] = {"seed", "timeout", "list", TAP_OPTIONS};

#define TEST(id, sentence)                                           \
  static void case_##id(void);                                       \
  __attribute__((constructor)) static void tap_register_##id(void) { \
    static struct tap_case self = {#id, sentence, case_##id, NULL};  \
    *tap_last_link = &self;                                          \
    tap_last_link = &self.next;                                      \
  }                                                                  \
  static void case_##id(void)

// One line with one write(2), so that lines of several processes never mix.
__attribute__((format(printf, 1, 2))) static void tap_print(const char* format, ...) {
  char line[512];
  va_list values;
  va_start(values, format);
  int length = vsnprintf(line, sizeof line - 1, format, values);
  va_end(values);
  if (length < 0) return;
  if (length > (int)sizeof line - 2) length = sizeof line - 2;
  line[length++] = '\n';
  for (int done = 0; done < length;) {
    ssize_t n = write(STDOUT_FILENO, line + done, length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    done += n;
  }
}

#define NOTE(...) tap_print("# " __VA_ARGS__)

static inline void tap_failed_at(void) { __atomic_fetch_add(&tap_failures, 1, __ATOMIC_RELAXED); }

#define FAIL(format, ...)                                                         \
  do {                                                                            \
    tap_failed_at();                                                              \
    tap_print("# %s:%d: " format, __FILE__, __LINE__ __VA_OPT__(, ) __VA_ARGS__); \
  } while (0)

#define CHECK(condition)                                    \
  do {                                                      \
    if (!(condition)) FAIL("check failed: %s", #condition); \
  } while (0)

#define CHECK_EQ(actual, expected)                                                                          \
  do {                                                                                                      \
    long long tap_got = (long long)(actual), tap_want = (long long)(expected);                              \
    if (tap_got != tap_want)                                                                                \
      FAIL("%s is %lld (%#llx), expected %s = %lld (%#llx)", #actual, tap_got, (unsigned long long)tap_got, \
           #expected, tap_want, (unsigned long long)tap_want);                                              \
  } while (0)

// A call that reports success by a value other than -1; yields that value.
#define CHECK_OK(call)                                                          \
  __extension__({                                                               \
    errno = 0;                                                                  \
    long tap_result = (long)(call);                                             \
    if (tap_result == -1) FAIL("%s failed: %s", #call, strerrorname_np(errno)); \
    tap_result;                                                                 \
  })

#define CHECK_ERR(call, error)                                                                           \
  do {                                                                                                   \
    errno = 0;                                                                                           \
    long tap_result = (long)(call);                                                                      \
    int tap_errno = errno;                                                                               \
    if (tap_result != -1)                                                                                \
      FAIL("%s returned %ld, expected %s", #call, tap_result, strerrorname_np(error));                   \
    else if (tap_errno != (error))                                                                       \
      FAIL("%s failed with %s, expected %s", #call, strerrorname_np(tap_errno), strerrorname_np(error)); \
  } while (0)

#define REQUIRE(condition)                                                 \
  do {                                                                     \
    if (!(condition)) {                                                    \
      FAIL("required: %s (errno %s)", #condition, strerrorname_np(errno)); \
      _exit(tap_status_failed);                                            \
    }                                                                      \
  } while (0)

#define SKIP(...)                  \
  do {                             \
    NOTE("skipped: " __VA_ARGS__); \
    _exit(tap_status_skipped);     \
  } while (0)

// Ends this process and reports its failures to the one that calls tap_join on it.
__attribute__((noreturn)) TAP_UNUSED static void tap_exit(void) {
  _exit(tap_failures ? tap_status_failed : tap_status_passed);
}

TAP_UNUSED static pid_t tap_fork(void) {
  pid_t child = fork();
  REQUIRE(child >= 0);
  return child;
}

// Waits for `child` whatever interrupts the wait; returns its wait status.
static int tap_wait(pid_t child) {
  int status = -1;
  pid_t ended;
  do ended = waitpid(child, &status, 0);
  while (ended < 0 && errno == EINTR);
  if (ended != child) FAIL("waitpid(%d) returned %d: %s", child, ended, strerrorname_np(errno));
  return status;
}

TAP_UNUSED static void tap_join_at(const char* file, int line, pid_t child) {
  int status = tap_wait(child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  tap_failed_at();
  if (WIFSIGNALED(status))
    tap_print("# %s:%d: child %d ended by signal %d", file, line, child, WTERMSIG(status));
  else
    tap_print("# %s:%d: child %d ended with status %#x", file, line, child, status);
}
#define tap_join(child) tap_join_at(__FILE__, __LINE__, child)

// Returns the text after `--name=`, "" for a bare `--name`, or NULL if it was not given.
static const char* tap_option(const char* name) {
  size_t length = strlen(name);
  for (int i = 1; i < tap_argument_count; i++) {
    const char* argument = tap_arguments[i];
    if (strncmp(argument, "--", 2) != 0 || strncmp(argument + 2, name, length) != 0) continue;
    if (argument[2 + length] == '\0') return "";
    if (argument[2 + length] == '=') return argument + 3 + length;
  }
  return NULL;
}

static uint64_t tap_number(const char* name, uint64_t otherwise) {
  const char* text = tap_option(name);
  return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

// What the kernel's memory policy promises, by its name in Faultline's /proc/self/pager. Linux, without that
// file, pages on demand and copies on write.
TAP_UNUSED static bool tap_pager(const char* promise) {
  FILE* file = fopen("/proc/self/pager", "r");
  if (!file) return false;
  char name[32], answer[32];
  bool promised = false;
  while (fscanf(file, "%31s %31s", name, answer) == 2)
    if (strcmp(name, promise) == 0) promised = strcmp(answer, "yes") == 0;
  fclose(file);
  return promised;
}
TAP_UNUSED static bool tap_loads_in_mmap(void) { return tap_pager("loads_in_mmap"); }
TAP_UNUSED static bool tap_may_load_neighbours(void) { return tap_pager("may_load_neighbours"); }
TAP_UNUSED static bool tap_copies_in_fork(void) { return tap_pager("copies_in_fork"); }

// Faultline calls itself Linux for the programs' sake; its version string tells the truth.
TAP_UNUSED static bool tap_on_faultline(void) {
  struct utsname name;
  return uname(&name) == 0 && strstr(name.version, "Faultline") != NULL;
}

// Whether this is a RISC-V program under an emulator of user mode only: the kernel below is the host's,
// which /proc/cpuinfo gives away, and so some of what it tells about memory is not about this program.
TAP_UNUSED static bool tap_emulated(void) {
#ifdef __riscv
  char text[256] = "";
  int fd = open("/proc/cpuinfo", O_RDONLY);
  if (fd < 0) return false;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  return n > 0 && (strstr(text, "vendor_id") || strstr(text, "CPU implementer"));
#else
  return false;
#endif
}

// xorshift64*: small, and the same sequence everywhere for a seed.
TAP_UNUSED static uint64_t tap_random(void) {
  tap_seed ^= tap_seed >> 12;
  tap_seed ^= tap_seed << 25;
  tap_seed ^= tap_seed >> 27;
  return tap_seed * UINT64_C(0x2545F4914F6CDD1D);
}

TAP_UNUSED static uint64_t tap_below(uint64_t bound) { return tap_random() % bound; }

TAP_UNUSED static uint64_t tap_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

// A path in a directory of this program's own, which is removed with all in it after the case. The
// result stays valid for the next seven calls.
TAP_UNUSED static const char* tap_path(const char* name) {
  static char ring[8][160];
  static unsigned next;
  char* path = ring[next++ % 8];
  if (mkdir(tap_scratch, 0755) < 0 && errno != EEXIST) REQUIRE(!"scratch directory");
  snprintf(path, sizeof ring[0], "%s/%s", tap_scratch, name);
  return path;
}

static int tap_remove_entry(const char* path, const struct stat* info, int kind, struct FTW* where) {
  (void)info, (void)where;
  if (kind == FTW_DNR) chmod(path, 0700);
  remove(path);
  return 0;
}

static void tap_interrupt(int signal_number) {
  pid_t child = tap_running;
  if (signal_number == SIGALRM) tap_timed_out = 1;
  if (child > 0 && kill(-child, SIGKILL) < 0) kill(child, SIGKILL);
  if (signal_number != SIGALRM) _exit(128 + signal_number);
}

static void tap_watch(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = tap_interrupt;
  sigaction(SIGALRM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

static void tap_child(const struct tap_case* test) {
  setpgid(0, 0);
  signal(SIGALRM, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  tap_running = 0;
  tap_failures = 0;
  test->run();
  tap_exit();
}

// Runs one case to its end or its time limit; returns whether it passed (or was skipped).
static bool tap_run_case(const struct tap_case* test, int number, unsigned limit) {
  tap_timed_out = 0;
  pid_t child = fork();
  if (child == 0) tap_child(test);
  if (child < 0) {
    tap_print("not ok %d - %s (%s)", number, test->name, test->id);
    NOTE("fork: %s", strerror(errno));
    return false;
  }
  setpgid(child, child);
  tap_running = child;
  alarm(limit);
  int status = tap_wait(child);
  alarm(0);
  kill(-child, SIGKILL);  // whatever the case left running
  tap_running = 0;
  bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == tap_status_skipped;
  bool passed = skipped || status == 0;
  if (tap_timed_out)
    NOTE("%s: hung, killed after %u s", test->id, limit);
  else if (WIFSIGNALED(status))
    NOTE("%s: ended by signal %d", test->id, WTERMSIG(status));
  else if (!passed && WEXITSTATUS(status) != tap_status_failed)
    NOTE("%s: exited with status %d", test->id, WEXITSTATUS(status));
  tap_print("%s %d - %s (%s)%s", passed ? "ok" : "not ok", number, test->name, test->id,
            skipped ? " # SKIP" : "");
  nftw(tap_scratch, tap_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
  return passed;
}

static bool tap_is_option(const char* argument) { return strncmp(argument, "--", 2) == 0; }

static bool tap_arguments_valid(void) {
  for (int i = 1; i < tap_argument_count; i++) {
    const char* argument = tap_arguments[i];
    bool known = false;
    if (tap_is_option(argument)) {
      size_t length = strcspn(argument + 2, "=");
      for (size_t k = 0; k < sizeof tap_known_options / sizeof *tap_known_options; k++)
        known |= length && strlen(tap_known_options[k]) == length &&
                 strncmp(argument + 2, tap_known_options[k], length) == 0;
    } else {
      for (const struct tap_case* c = tap_first_case; c; c = c->next) known |= strcmp(c->id, argument) == 0;
    }
    if (!known) {
      fprintf(stderr, "%s: %s: no such case or option\n", tap_program, argument);
      return false;
    }
  }
  return true;
}

static bool tap_selected(const struct tap_case* test) {
  bool any = false;
  for (int i = 1; i < tap_argument_count; i++) {
    if (tap_is_option(tap_arguments[i])) continue;
    if (strcmp(tap_arguments[i], test->id) == 0) return true;
    any = true;
  }
  return !any;
}

// A program that also serves as its own helper (to be executed by a case) defines TAP_HELPER_MAIN(argc,
// argv), which returns the exit status or -1 if the arguments are not for it.
#ifndef TAP_HELPER_MAIN
#define TAP_HELPER_MAIN(argc, argv) (-1)
#endif

static void tap_prepare(int argc, char** argv) {
  tap_argument_count = argc;
  tap_arguments = argv;
  const char* slash = argc ? strrchr(argv[0], '/') : NULL;
  snprintf(tap_program, sizeof tap_program, "%s", slash ? slash + 1 : argc ? argv[0] : "test");
  snprintf(tap_scratch, sizeof tap_scratch, "/tmp/%s.%d", tap_program, getpid());
  tap_seed = tap_number("seed", tap_nanoseconds() ^ (uint64_t)getpid() << 32);
  if (tap_seed == 0) tap_seed = 1;
}

int main(int argc, char** argv) {
  int helper_status = TAP_HELPER_MAIN(argc, argv);
  if (helper_status >= 0) return helper_status;
  tap_prepare(argc, argv);
  if (!tap_arguments_valid()) return tap_status_usage;
  int count = 0, number = 0, failed = 0;
  for (struct tap_case* c = tap_first_case; c; c = c->next) {
    count += tap_selected(c);
    if (tap_option("list")) printf("%s: %s\n", c->id, c->name);
  }
  if (tap_option("list")) return 0;
  tap_print("1..%d", count);
  NOTE("%s --seed=%llu", tap_program, (unsigned long long)tap_seed);
  tap_watch();
  unsigned limit = (unsigned)tap_number("timeout", tap_default_timeout + tap_number("seconds", 0));
  for (struct tap_case* c = tap_first_case; c; c = c->next)
    if (tap_selected(c) && !tap_run_case(c, ++number, limit)) failed++;
  return failed ? tap_status_failed : tap_status_passed;
}
