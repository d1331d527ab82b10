// The system calls that take a pointer, as rows of test_badptr: which argument it is, which way the bytes
// go and how many. Numbers are the running architecture's own.
#pragma once

#include <limits.h>
#include <linux/futex.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "tap.h"

enum direction {
  direction_in,      // the kernel reads a structure
  direction_out,     // the kernel writes one
  direction_string,  // the kernel reads up to a zero byte
};

struct call {
  const char* name;
  long number;
  long arguments[6];
  enum direction direction;
  size_t size;        // of the structure; 0 where a transfer may be cut short at the bad page
  bool null_allowed;  // a null pointer means "none"
  bool in_child;      // success would replace this program
  int other_error;    // accepted beside EFAULT, or 0
};

#define POINTER LONG_MIN  // stands for the argument under test

// What the rows need besides the pointer; made once per case by badptr_prepare.
static int badptr_pipe[2], badptr_file;
static const char* badptr_existing;
static long badptr_zeroes[32];
static struct {
  long words[8];
} badptr_pollfd = {{-1, 0}};
static const char* badptr_no_arguments[] = {"true", NULL};

static void badptr_prepare(void) {
  REQUIRE(pipe(badptr_pipe) == 0);
  badptr_existing = tap_path("existing");
  badptr_file = open(badptr_existing, O_RDWR | O_CREAT, 0644);
  REQUIRE(badptr_file >= 0);
  REQUIRE(ftruncate(badptr_file, 16384) == 0);
}

#define IN(name, size, ...) {#name, SYS_##name, {__VA_ARGS__}, direction_in, size, false, false, 0}
#define OUT(name, size, ...) {#name, SYS_##name, {__VA_ARGS__}, direction_out, size, false, false, 0}
#define STRING(name, ...) {#name, SYS_##name, {__VA_ARGS__}, direction_string, 1, false, false, 0}
#define IN_OR_NULL(name, size, ...) {#name, SYS_##name, {__VA_ARGS__}, direction_in, size, true, false, 0}
#define OUT_OR_NULL(name, size, ...) {#name, SYS_##name, {__VA_ARGS__}, direction_out, size, true, false, 0}

// Calls `visit` for every row. Rows that would change the disk are given names that do not exist.
static void badptr_for_each(void (*visit)(const struct call*, void*), void* context) {
  const long file = badptr_file, ends0 = badptr_pipe[0], ends1 = badptr_pipe[1];
  const long path = (long)badptr_existing, zeroes = (long)badptr_zeroes,
             arguments = (long)badptr_no_arguments;
  const long here = AT_FDCWD, name = (long)"/nonexistent/name", spare = (long)&badptr_zeroes[16];
  const struct call calls[] = {
      // bytes
      OUT(read, 0, file, POINTER, 4096),
      IN(write, 0, ends1, POINTER, 512),
      OUT(pread64, 0, file, POINTER, 4096, 0),
      IN(pwrite64, 0, file, POINTER, 4096, 0),
      IN(readv, 16, file, POINTER, 1),
      IN(writev, 16, file, POINTER, 1),
      OUT(getdents64, 0, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), POINTER, 4096),
      OUT(getrandom, 0, POINTER, 64, 0),
      OUT(readlinkat, 0, here, (long)"/proc/self/exe", POINTER, 64),
      OUT(getcwd, 0, POINTER, 256),
      // names
      STRING(openat, here, POINTER, O_RDONLY),
      STRING(mkdirat, here, POINTER, 0755),
      STRING(unlinkat, here, POINTER, 0),
      STRING(linkat, here, POINTER, here, name, 0),
      STRING(linkat, here, path, here, POINTER, 0),
      STRING(symlinkat, POINTER, here, name),
      STRING(symlinkat, name, here, POINTER),
      STRING(renameat2, here, POINTER, here, name, 0),
      STRING(renameat2, here, path, here, POINTER, 0),
      STRING(readlinkat, here, POINTER, spare, 8),
      STRING(faccessat, here, POINTER, F_OK),
      STRING(fchmodat, here, POINTER, 0644),
      STRING(chdir, POINTER),
      STRING(truncate, POINTER, 0),
      STRING(newfstatat, here, POINTER, spare - 128, 0),
      {"execve", SYS_execve, {POINTER, arguments, zeroes}, direction_string, 1, false, true, 0},
      {"execve argv", SYS_execve, {(long)"/bin/true", POINTER, zeroes}, direction_in, 8, true, true, 0},
      {"execve envp", SYS_execve, {(long)"/bin/true", arguments, POINTER}, direction_in, 8, true, true, 0},
      // structures in
      IN(nanosleep, 16, POINTER, 0),
      IN(clock_nanosleep, 16, CLOCK_MONOTONIC, 0, POINTER, 0),
      IN_OR_NULL(rt_sigprocmask, 8, SIG_BLOCK, POINTER, 0, 8),
      IN_OR_NULL(rt_sigaction, 24, SIGUSR1, POINTER, 0, 8),
      IN_OR_NULL(sigaltstack, 24, POINTER, 0),
      IN_OR_NULL(setitimer, 32, 0, POINTER, 0),
      IN(ppoll, 8, POINTER, 1, zeroes, 0, 8),
      IN_OR_NULL(ppoll, 16, (long)&badptr_pollfd, 0, POINTER, 0, 8),
      {"futex", SYS_futex, {POINTER, FUTEX_WAIT, 1, 0, 0, 0}, direction_in, 0, false, false, EINVAL},
      // structures out
      OUT(newfstatat, 128, here, path, POINTER, 0),
      OUT(fstat, 128, ends0, POINTER),
      OUT(statx, 256, here, path, 0, 0x7ff, POINTER),
      OUT(statfs, 120, path, POINTER),
      OUT(pipe2, 8, POINTER, 0),
      OUT(uname, 390, POINTER),
      OUT(clock_gettime, 16, CLOCK_MONOTONIC, POINTER),
      OUT_OR_NULL(clock_getres, 16, CLOCK_MONOTONIC, POINTER),
      OUT_OR_NULL(gettimeofday, 16, POINTER, 0),
      OUT(getrusage, 144, RUSAGE_SELF, POINTER),
      OUT_OR_NULL(times, 32, POINTER),
      OUT(sysinfo, 112, POINTER),
      OUT(rt_sigpending, 8, POINTER, 8),
      OUT_OR_NULL(rt_sigprocmask, 8, SIG_BLOCK, 0, POINTER, 8),
      OUT_OR_NULL(rt_sigaction, 24, SIGUSR1, 0, POINTER, 8),
      OUT_OR_NULL(sigaltstack, 24, 0, POINTER),
      OUT_OR_NULL(prlimit64, 16, 0, RLIMIT_NOFILE, 0, POINTER),
  };
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) visit(&calls[i], context);
}
