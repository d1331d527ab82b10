// execve: what the new program is given, what it keeps of the old one, and every way it is refused. This
// program executes itself as its own helper: `test_exec helper:WHAT ...`.
static int run_helper(int argc, char** argv);
#define TAP_HELPER_MAIN(argc, argv) run_helper(argc, argv)
#include <sched.h>
#include <spawn.h>
#include <sys/auxv.h>

#include "common/elf_image.h"
#include "common/pages.h"
#include "common/threads.h"

extern char** environ;

static const char* self_path(void) {
  static char path[256];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  if (n > 0)
    path[n] = '\0';
  else
    snprintf(path, sizeof path, "/bin/%s", tap_program);
  return path;
}

static void require_self_executable(void) {
  if (tap_emulated()) SKIP("the host below the emulator does not execute this architecture's files");
}

// ---- the helper's side

static void show_strings(char** strings) {
  for (; *strings; strings++) {
    REQUIRE(write(STDOUT_FILENO, *strings, strlen(*strings) + 1) == (ssize_t)strlen(*strings) + 1);
  }
}

extern char _start[];

static void helper_auxv(const char* expected_name) {
  CHECK_EQ(getauxval(AT_PAGESZ), page_size);
  CHECK_EQ(getauxval(AT_PHENT), sizeof(Elf64_Phdr));
  CHECK_EQ(getauxval(AT_ENTRY), (uintptr_t)_start);
  CHECK_EQ(getauxval(AT_UID), getuid());
  CHECK_EQ(getauxval(AT_EUID), geteuid());
  CHECK_EQ(getauxval(AT_GID), getgid());
  CHECK_EQ(getauxval(AT_EGID), getegid());
  CHECK_EQ(getauxval(AT_SECURE), 0);
  CHECK_EQ(getauxval(AT_CLKTCK), sysconf(_SC_CLK_TCK));
  const char* name = (const char*)getauxval(AT_EXECFN);
  CHECK(name && strcmp(name, expected_name) == 0);
  const Elf64_Phdr* segments = (const Elf64_Phdr*)getauxval(AT_PHDR);
  bool covers_entry = false;
  REQUIRE(segments != NULL);
  for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++)
    if (segments[i].p_type == PT_LOAD && (uintptr_t)_start - segments[i].p_vaddr < segments[i].p_memsz)
      covers_entry = true;
  CHECK(covers_entry);
#ifdef __riscv
  const unsigned long needed =
      1ul << ('I' - 'A') | 1ul << ('M' - 'A') | 1ul << ('A' - 'A') | 1ul << ('C' - 'A');
  CHECK_EQ(getauxval(AT_HWCAP) & needed, needed);
#endif
}

static void helper_signals(void) {
  struct sigaction action;
  sigset_t set;
  stack_t alternate;
  CHECK_EQ(sigaction(SIGUSR1, NULL, &action), 0);
  CHECK(action.sa_handler == SIG_DFL);
  CHECK_EQ(sigaction(SIGUSR2, NULL, &action), 0);
  CHECK(action.sa_handler == SIG_IGN);
  CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &set), 0);
  CHECK_EQ(sigismember(&set, SIGTERM), 1);
  CHECK_EQ(sigismember(&set, SIGHUP), 0);
  CHECK_EQ(sigpending(&set), 0);
  CHECK_EQ(sigismember(&set, SIGTERM), 1);
  CHECK_EQ(sigaltstack(NULL, &alternate), 0);
  CHECK(alternate.ss_flags & SS_DISABLE);
}

static int run_helper(int argc, char** argv) {
  if (argc < 2 || strncmp(argv[1], "helper:", 7) != 0) return -1;
  const char* what = argv[1] + 7;
  if (strcmp(what, "show") == 0)
    show_strings(argv);
  else if (strcmp(what, "environment") == 0)
    show_strings(environ);
  else if (strcmp(what, "auxv") == 0)
    helper_auxv(argv[2]);
  else if (strcmp(what, "signals") == 0)
    helper_signals();
  else if (strcmp(what, "random") == 0)
    return write(STDOUT_FILENO, (void*)getauxval(AT_RANDOM), 16) != 16;
  else if (strcmp(what, "exit") == 0)
    return atoi(argv[2]);
  else if (strcmp(what, "open") == 0)
    return fcntl(atoi(argv[2]), F_GETFD) < 0;
  else if (strcmp(what, "pid") == 0)
    return getpid() != atoi(argv[2]);
  else
    return tap_status_usage;
  return tap_failures ? tap_status_failed : tap_status_passed;
}

// ---- the tests' side

// Executes `path` with its output in a pipe; returns the bytes it wrote, or -1 with errno from execve.
static ssize_t output_of(const char* path, char* const arguments[], char* const environment[], char* buffer,
                         size_t size) {
  int output[2], report[2];
  REQUIRE(pipe2(output, O_CLOEXEC) == 0 && pipe2(report, O_CLOEXEC) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    dup2(output[1], STDOUT_FILENO);
    execve(path, arguments, environment);
    int error = errno;
    REQUIRE(write(report[1], &error, sizeof error) == sizeof error);
    _exit(1);
  }
  close(output[1]);
  close(report[1]);
  size_t got = 0;
  ssize_t n;
  while ((n = read(output[0], buffer + got, size - got)) > 0) got += (size_t)n;
  int error = 0;
  if (read(report[0], &error, sizeof error) != sizeof error) error = 0;
  close(output[0]);
  close(report[0]);
  int status = tap_wait(child);
  if (error) {
    errno = error;
    return -1;
  }
  CHECK_EQ(status, 0);
  return (ssize_t)got;
}

static void expect_strings(const char* got, ssize_t size, const char* const* want) {
  const char* at = got;
  for (; *want; want++) {
    if (at - got >= size || strcmp(at, *want) != 0) {
      FAIL("got \"%.60s\", expected \"%.60s\"", at - got < size ? at : "(end)", *want);
      return;
    }
    at += strlen(at) + 1;
  }
  if (at - got != size) FAIL("got more: \"%.60s\"", at);
}

TEST(arguments, "the arguments arrive as given, empty ones and odd bytes included") {
  require_self_executable();
  char* arguments[] = {(char*)"any name",
                       (char*)"helper:show",
                       (char*)"",
                       (char*)"two words",
                       (char*)"\377\001\n",
                       (char*)"",
                       NULL};
  char* none[] = {NULL};
  char buffer[512];
  ssize_t n = output_of(self_path(), arguments, none, buffer, sizeof buffer);
  expect_strings(buffer, n, (const char* const*)arguments);
}

TEST(environment, "the environment arrives as given, duplicates and strings without = included") {
  require_self_executable();
  char* arguments[] = {(char*)"x", (char*)"helper:environment", NULL};
  char* environment[] = {(char*)"A=1", (char*)"B=", (char*)"no equals", (char*)"A=2", (char*)"", NULL};
  char buffer[512];
  ssize_t n = output_of(self_path(), arguments, environment, buffer, sizeof buffer);
  expect_strings(buffer, n, (const char* const*)environment);
}

TEST(long_arguments, "60 KiB of arguments over many pages arrive whole") {
  require_self_executable();
  enum { count = 120, length = 511 };
  static char strings[count][length + 1], buffer[(count + 4) * (length + 1)];
  char* arguments[count + 3] = {(char*)"x", (char*)"helper:show"};
  char* none[] = {NULL};
  for (int i = 0; i < count; i++) {
    memset(strings[i], 'a' + i % 26, length);
    arguments[i + 2] = strings[i];
  }
  ssize_t n = output_of(self_path(), arguments, none, buffer, sizeof buffer);
  expect_strings(buffer, n, (const char* const*)arguments);
}

TEST(too_long,
     "arguments over the limit are E2BIG, by one long string or by their number, and the caller lives on") {
  enum { size = 4 << 20, count = 600000 };
  char* string = map_anonymous(size / page_size + 1);
  memset(string, 'x', size);
  char* arguments[] = {(char*)"true", string, NULL};
  CHECK_ERR(execve("/bin/true", arguments, environ), E2BIG);
  munmap(string, size);
  char** many = (char**)map_anonymous(count * sizeof(char*) / page_size + 1);
  for (int i = 0; i < count - 1; i++) many[i] = (char*)"";
  CHECK_ERR(execve("/bin/true", many, environ), E2BIG);
  CHECK_ERR(execve("/bin/true", arguments + 2, many), E2BIG);
}

TEST(auxiliary_vector,
     "the auxiliary vector tells page size, headers, entry, identity and the executed name") {
  require_self_executable();
  char* arguments[] = {(char*)"x", (char*)"helper:auxv", (char*)self_path(), NULL};
  struct execution result = execute(self_path(), arguments);
  CHECK_EQ(result.error, 0);
  CHECK_EQ(result.status, 0);
}

TEST(random_bytes, "AT_RANDOM's sixteen bytes differ from one execution to the next") {
  require_self_executable();
  char* arguments[] = {(char*)"x", (char*)"helper:random", NULL};
  char first[16], second[16];
  CHECK_EQ(output_of(self_path(), arguments, environ, first, sizeof first), 16);
  CHECK_EQ(output_of(self_path(), arguments, environ, second, sizeof second), 16);
  CHECK(memcmp(first, second, 16) != 0);
}

static void quiet_handler(int signal_number) { (void)signal_number; }

TEST(signals, "handlers are reset, ignored signals stay ignored, mask and pending signals stay") {
  require_self_executable();
  char* arguments[] = {(char*)"x", (char*)"helper:signals", NULL};
  stack_t alternate;
  memset(&alternate, 0, sizeof alternate);
  alternate.ss_size = 16 * page_size;
  alternate.ss_sp = map_anonymous(16);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  pid_t child = tap_fork();
  if (child == 0) {
    REQUIRE(sigaltstack(&alternate, NULL) == 0);
    signal(SIGUSR1, quiet_handler);
    signal(SIGUSR2, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGTERM);
    execv(self_path(), arguments);
    FAIL("execv: %s", strerror(errno));
    tap_exit();
  }
  tap_join(child);
}

static int helper_status(const char* what, int number) {
  char text[16];
  snprintf(text, sizeof text, "%d", number);
  char* arguments[] = {(char*)"x", (char*)what, text, NULL};
  return execute(self_path(), arguments).status;
}

TEST(close_on_exec, "descriptors marked close-on-exec are closed, the others stay open") {
  require_self_executable();
  int closing = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), staying = open("/", O_RDONLY | O_DIRECTORY);
  CHECK_EQ(helper_status("helper:open", staying), 0);
  CHECK_EQ(helper_status("helper:open", closing), 1 << 8);
  CHECK_EQ(fcntl(staying, F_SETFD, FD_CLOEXEC), 0);
  CHECK_EQ(fcntl(closing, F_SETFD, 0), 0);
  CHECK_EQ(helper_status("helper:open", staying), 1 << 8);
  CHECK_EQ(helper_status("helper:open", closing), 0);
}

TEST(same_process, "the process keeps its pid") {
  require_self_executable();
  pid_t child = tap_fork();
  if (child == 0) {
    char text[16];
    snprintf(text, sizeof text, "%d", getpid());
    execl(self_path(), "x", "helper:pid", text, (char*)NULL);
    _exit(1);
  }
  tap_join(child);
}

static const char* write_script(const char* name, const char* text) {
  return elf_store(name, text, strlen(text));
}

static void expect_error(const char* path, int error) {
  char* arguments[] = {(char*)"name", NULL};
  struct execution result = execute(path, arguments);
  if (result.error != error)
    FAIL("%.40s: error %s status %#x, expected %s", path,
         result.error ? strerrorname_np(result.error) : "none", result.status, strerrorname_np(error));
}

TEST(script, "a #! line runs its interpreter with the one argument, the script's path and the arguments") {
  require_self_executable();
  char text[300], buffer[600];
  char* none[] = {NULL};
  snprintf(text, sizeof text, "#! %s \t helper:show\nanything\n", self_path());
  const char* path = write_script("script", text);
  char* arguments[] = {(char*)"lost", (char*)"one", (char*)"two", NULL};
  const char* want[] = {self_path(), "helper:show", path, "one", "two", NULL};
  expect_strings(buffer, output_of(path, arguments, none, buffer, sizeof buffer), want);
  snprintf(text, sizeof text, "#!%s", path);  // no newline at the end of the file
  const char* outer = write_script("outer", text);
  const char* nested[] = {self_path(), "helper:show", path, outer, "one", "two", NULL};
  expect_strings(buffer, output_of(outer, arguments, none, buffer, sizeof buffer), nested);
}

TEST(script_errors, "a #! line that names nothing, a missing file, a directory or itself is refused") {
  char* arguments[] = {(char*)"script", NULL};
  CHECK(execute(write_script("script", "#!"), arguments).error != 0);
  expect_error(write_script("script", "#!\n/bin/true\n"), ENOEXEC);
  expect_error(write_script("script", "#!   \n"), ENOEXEC);
  expect_error(write_script("script", "#!/nonexistent/program\n"), ENOENT);
  expect_error(write_script("script", "#!/tmp\n"), EACCES);
  char text[200];
  snprintf(text, sizeof text, "#!%s\n", tap_path("script"));
  expect_error(write_script("script", text), ELOOP);
}

TEST(refused, "a name that is missing, no file, under a file, without permission or too long is refused") {
  char longer[5000];
  memset(longer, 'x', sizeof longer - 1);
  longer[sizeof longer - 1] = '\0';
  expect_error("/nonexistent", ENOENT);
  expect_error("", ENOENT);
  expect_error("/tmp", EACCES);
  expect_error("/bin/true/under", ENOTDIR);
  expect_error(longer, ENAMETOOLONG);
  longer[300] = '\0';
  expect_error(longer, ENAMETOOLONG);
  const char* path = write_script("script", "#!/bin/true\n");
  CHECK_EQ(chmod(path, 0644), 0);
  expect_error(path, EACCES);
  CHECK_EQ(symlink(tap_path("loop"), tap_path("loop")), 0);
  expect_error(tap_path("loop"), ELOOP);
}

TEST(symbolic_link, "a program is executed through a symbolic link") {
  CHECK_EQ(symlink("/bin/true", tap_path("link")), 0);
  char* arguments[] = {(char*)"true", NULL};
  struct execution result = execute(tap_path("link"), arguments);
  CHECK_EQ(result.error, 0);
  CHECK_EQ(result.status, 0);
}

TEST(relative, "a relative name is executed from the current directory") {
  write_script("script", "#!/bin/true\n");
  CHECK_EQ(chdir(tap_scratch), 0);
  char* arguments[] = {(char*)"script", NULL};
  CHECK_EQ(execute("./script", arguments).status, 0);
  CHECK_EQ(execute("script", arguments).error, 0);
}

TEST(spawn, "posix_spawn starts a program and reports its error") {
  pid_t child = -1;
  char* arguments[] = {(char*)"true", NULL};
  CHECK_EQ(posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ), 0);
  tap_join(child);
  if (!tap_emulated()) CHECK_EQ(posix_spawn(&child, "/nonexistent", NULL, NULL, arguments, environ), ENOENT);
}

static volatile long* ticks;

static void* tick(void* argument) {
  for (;;) __atomic_fetch_add(&ticks[(intptr_t)argument], 1, __ATOMIC_RELAXED);
  return NULL;
}

static void* execute_self(void* argument) {
  (void)argument;
  for (int i = 0; i < 3; i++)
    while (__atomic_load_n(&ticks[i], __ATOMIC_RELAXED) == 0) sched_yield();
  execl(self_path(), "x", "helper:exit", "7", (char*)NULL);
  _exit(1);
}

TEST(threads, "execve by one thread ends all others, the first included, and the process keeps its pid") {
  require_self_executable();
  ticks = (volatile long*)map_shared(1);
  pid_t child = tap_fork();
  if (child == 0) {
    pthread_t thread;
    for (intptr_t i = 0; i < 3; i++) REQUIRE(pthread_create(&thread, NULL, tick, (void*)i) == 0);
    REQUIRE(pthread_create(&thread, NULL, execute_self, NULL) == 0);
    for (;;) pause();
  }
  int status = tap_wait(child);
  CHECK_EQ(status, 7 << 8);
  long before = ticks[0] + ticks[1] + ticks[2];
  for (int i = 0; i < 100; i++) sched_yield();
  CHECK_EQ(ticks[0] + ticks[1] + ticks[2], before);
}
