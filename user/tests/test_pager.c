// The memory policy of a program: what /proc/PID/pager says of it and takes, and that memory behaves so. The
// program executes itself: `test_pager under:NAME`.
static int run_under(int argc, char** argv);
#define TAP_HELPER_MAIN(argc, argv) run_under(argc, argv)

#include "common/pages.h"
#include "common/proc_text.h"
#include "common/turns.h"

static const char* const own_pager = "/proc/self/pager";

static void pager_of(const char* path, char name[32]) {
  char text[256];
  read_proc_text(path, text, sizeof text);
  REQUIRE(sscanf(text, "pager %31s", name) == 1);
}

// Calls f(name) for each pager that this kernel has; Linux has none to choose from.
static void for_each_pager(void (*f)(const char* name)) {
  char pagers[1024];
  if (access("/proc/pagers", F_OK) != 0) SKIP("only Faultline has /proc/pagers");
  read_proc_text("/proc/pagers", pagers, sizeof pagers);
  int count = 0;
  for (char* name = strtok(pagers, "\n"); name; name = strtok(NULL, "\n"), count++) f(name);
  CHECK(count > 0);
}

// Writes a word into a process's file; the error, or 0.
static int write_word(const char* path, const char* word) {
  int fd = open(path, O_WRONLY | O_TRUNC);
  if (fd < 0) return errno;
  int error = write(fd, word, strlen(word)) < 0 ? errno : 0;
  close(fd);
  return error;
}

enum { pages = 64 };

static int resident_pages(void* memory) {
  unsigned char there[pages];
  REQUIRE(mincore(memory, pages * page_size, there) == 0);
  int count = 0;
  for (int i = 0; i < pages; i++) count += there[i] & 1;
  return count;
}

static void check_pager_is(const char* expected) {
  char name[32], status[2048], line[64];
  pager_of(own_pager, name);
  if (strcmp(name, expected) != 0) FAIL("runs under %s, expected %s", name, expected);
  read_proc_text("/proc/self/status", status, sizeof status);
  snprintf(line, sizeof line, "\nPager:\t%s\n", expected);
  CHECK(strstr(status, line) != NULL);
}

static int run_under(int argc, char** argv) {
  if (argc != 2 || strncmp(argv[1], "under:", 6) != 0) return -1;
  const char* expected = argv[1] + 6;
  check_pager_is(expected);

  char* memory = map_pages(pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  char* touched = memory + pages / 2 * page_size;
  CHECK_EQ(resident_pages(memory), tap_loads_in_mmap() ? pages : 0);
  *touched = 'p';
  CHECK_EQ(resident_pages(memory) > 1, tap_loads_in_mmap() || tap_may_load_neighbours());

  pid_t child = tap_fork();
  if (child == 0) {
    check_pager_is(expected);
    *touched = 'c';
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(*touched, 'p');
  return tap_failures ? tap_status_failed : tap_status_passed;
}

// Chosen by a process, executed by its child.
static void execute_under(const char* name) {
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_EQ(write_word(own_pager, name), 0);
    pid_t grandchild = tap_fork();
    if (grandchild == 0) {
      char under[40];
      snprintf(under, sizeof under, "under:%s", name);
      execl("/proc/self/exe", "test_pager", under, (char*)NULL);
      REQUIRE(!"executed");
    }
    tap_join(grandchild);
    tap_exit();
  }
  tap_join(child);
}

TEST(promises, "a program executed after a name was written runs under that policy, and so do its children") {
  for_each_pager(execute_under);
}

static void choose_and_stay(const char* name) {
  char before[32];
  pager_of(own_pager, before);
  CHECK_EQ(write_word(own_pager, name), 0);
  check_pager_is(before);
}

TEST(until_exec, "a program keeps the policy under which it was executed") {
  for_each_pager(choose_and_stay);
}

static void take_with_white_space(const char* name) {
  char line[40];
  snprintf(line, sizeof line, " %s\n", name);
  CHECK_EQ(write_word(own_pager, line), 0);
}

TEST(names, "a name of the list is taken with white space around it, anything else is EINVAL") {
  for_each_pager(take_with_white_space);
  CHECK_EQ(write_word(own_pager, "no-such-pager"), EINVAL);
  CHECK_EQ(write_word(own_pager, "\n"), EINVAL);
  CHECK_EQ(write_word(own_pager, "a-name-that-is-longer-than-that-of-any-pager"), EINVAL);
}

static void write_for_another(const char* name) {
  int release;
  char path[64];
  pid_t child = fork_held(&release);
  if (child == 0) tap_exit();
  snprintf(path, sizeof path, "/proc/%d/pager", child);
  CHECK_EQ(write_word(path, name), EPERM);
  close(release);
  tap_join(child);
}

TEST(others, "nobody chooses for another process") { for_each_pager(write_for_another); }

static void end_and_look(const char* name) {
  (void)name;
  char path[64], text[2048];
  siginfo_t info;
  pid_t child = tap_fork();
  if (child == 0) tap_exit();
  REQUIRE(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0);
  snprintf(path, sizeof path, "/proc/%d/pager", child);
  int fd = (int)CHECK_OK(open(path, O_RDONLY));
  CHECK_ERR(read(fd, text, sizeof text), ESRCH);
  close(fd);
  snprintf(path, sizeof path, "/proc/%d/status", child);
  read_proc_text(path, text, sizeof text);
  CHECK(strstr(text, "Pager:") == NULL);
  tap_join(child);
}

TEST(ended, "what has ended has no policy any more") { for_each_pager(end_and_look); }
