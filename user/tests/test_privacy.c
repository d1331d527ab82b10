// What the kernel tells of a process only to its owner and to root, and what it lets only them change.
#include <dirent.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "common/tap.h"

enum { somebody = 1000, somebody_else = 1001 };

static void become(uid_t user) {
  REQUIRE(setresgid(user, user, user) == 0 && setresuid(user, user, user) == 0);
  REQUIRE(prctl(PR_SET_DUMPABLE, 1) == 0);
}

// A process of `user` that waits until it is killed.
static pid_t start_process_of(uid_t user) {
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    become(user);
    REQUIRE(write(ready[1], "r", 1) == 1);
    for (;;) pause();
  }
  char byte;
  REQUIRE(read(ready[0], &byte, 1) == 1);
  close(ready[0]);
  close(ready[1]);
  return child;
}

static void end_process(pid_t child) {
  kill(child, SIGKILL);
  tap_wait(child);
}

static void in_process_of(uid_t user, void (*run)(pid_t), pid_t target) {
  pid_t child = tap_fork();
  if (child == 0) {
    become(user);
    run(target);
    tap_exit();
  }
  tap_join(child);
}

static const char* entry_of(pid_t process, const char* name) {
  static char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", process, name);
  return path;
}

static void see_nothing(pid_t target) {
  char text[64];
  CHECK_ERR(open(entry_of(target, "maps"), O_RDONLY), EACCES);
  CHECK_ERR(open(entry_of(target, "pagemap"), O_RDONLY), EACCES);
  CHECK_ERR(readlink(entry_of(target, "exe"), text, sizeof text), EACCES);
  CHECK_ERR(readlink(entry_of(target, "cwd"), text, sizeof text), EACCES);
  CHECK_ERR(readlink(entry_of(target, "root"), text, sizeof text), EACCES);
  CHECK_ERR(open(entry_of(target, "exe"), O_RDONLY), EACCES);
  CHECK_ERR(open(entry_of(target, "fd"), O_RDONLY | O_DIRECTORY), EACCES);
  CHECK_ERR(open(entry_of(target, "fd/1"), O_RDONLY), EACCES);
  void* head;
  size_t size;
  CHECK_ERR(syscall(SYS_get_robust_list, target, &head, &size), EPERM);
}

static void see_all(pid_t target) {
  char text[64];
  CHECK_OK(open(entry_of(target, "maps"), O_RDONLY));
  CHECK_OK(open(entry_of(target, "pagemap"), O_RDONLY));
  CHECK_OK(readlink(entry_of(target, "exe"), text, sizeof text));
  CHECK_OK(readlink(entry_of(target, "cwd"), text, sizeof text));
  CHECK_OK(open(entry_of(target, "fd"), O_RDONLY | O_DIRECTORY));
  void* head;
  size_t size;
  CHECK_OK(syscall(SYS_get_robust_list, target, &head, &size));
}

TEST(strangers, "the memory, program, directories and files of a process are hidden from other users") {
  if (geteuid() != 0) SKIP("only root can become others");
  pid_t target = start_process_of(somebody);
  in_process_of(somebody_else, see_nothing, target);
  in_process_of(somebody, see_all, target);
  see_all(target);
  end_process(target);
}

static void see_public(pid_t target) {
  char text[256];
  static const char* const names[] = {"stat", "statm", "status", "comm", "cmdline"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    int fd = (int)CHECK_OK(open(entry_of(target, names[i]), O_RDONLY));
    CHECK(read(fd, text, sizeof text) > 0);
  }
}

TEST(everybody, "name, state and figures of a process are everybody's to read") {
  if (geteuid() != 0) SKIP("only root can become others");
  pid_t target = start_process_of(somebody);
  in_process_of(somebody_else, see_public, target);
  end_process(target);
}

static void see_only_oneself(pid_t target) {
  REQUIRE(prctl(PR_SET_DUMPABLE, 0) == 0);
  in_process_of(somebody, see_nothing, getpid());
  (void)target;
  CHECK_OK(open("/proc/self/maps", O_RDONLY));
}

TEST(not_dumpable, "PR_SET_DUMPABLE hides a process from others of its own user") {
  if (geteuid() != 0) SKIP("only root can become others");
  in_process_of(somebody, see_only_oneself, 0);
}

static void change_nothing(pid_t target) {
  cpu_set_t harts;
  CHECK_EQ(sched_getaffinity(target, sizeof harts, &harts), 0);
  CHECK_ERR(sched_setaffinity(target, sizeof harts, &harts), EPERM);
  struct sched_param parameter = {0};
  CHECK_ERR(sched_setscheduler(target, SCHED_BATCH, &parameter), EPERM);
}

static void change_affinity(pid_t target) {
  cpu_set_t harts;
  CHECK_EQ(sched_getaffinity(target, sizeof harts, &harts), 0);
  CHECK_EQ(sched_setaffinity(target, sizeof harts, &harts), 0);
}

TEST(affinity, "only its owner and root say where and how a process runs") {
  if (geteuid() != 0) SKIP("only root can become others");
  pid_t target = start_process_of(somebody);
  in_process_of(somebody_else, change_nothing, target);
  in_process_of(somebody, change_affinity, target);
  change_affinity(target);
  end_process(target);
}

static uint64_t page_map_entry(const void* address) {
  int fd = open("/proc/self/pagemap", O_RDONLY);
  REQUIRE(fd >= 0);
  uint64_t entry = 0;
  REQUIRE(pread(fd, &entry, 8, (off_t)((uintptr_t)address / 4096 * 8)) == 8);
  close(fd);
  return entry;
}

static void see_no_frame(pid_t target) {
  static volatile char page[8192];
  (void)target;
  page[4096] = 1;
  uint64_t entry = page_map_entry((const void*)&page[4096]);
  CHECK(entry >> 63 == 1);
  CHECK_EQ(entry & ((UINT64_C(1) << 55) - 1), 0);
  CHECK_ERR(open("/proc/kpagecount", O_RDONLY), EACCES);
  CHECK_ERR(open("/proc/slabinfo", O_RDONLY), EACCES);
}

TEST(frames,
     "without privilege pagemap shows what is present but no frame, and nobody sees the kernel's objects") {
  if (geteuid() != 0) SKIP("only root can become others");
  in_process_of(somebody, see_no_frame, 0);
}

static const char* common_file;

static void keep_access_time(pid_t target) {
  (void)target;
  CHECK_ERR(open(common_file, O_RDONLY | O_NOATIME), EPERM);
  int fd = (int)CHECK_OK(open(common_file, O_RDONLY));
  CHECK_ERR(fcntl(fd, F_SETFL, O_NOATIME), EPERM);
}

TEST(access_time, "O_NOATIME is for the owner of a file and for root") {
  if (geteuid() != 0) SKIP("only root can become others");
  common_file = "/bin/sh";
  CHECK_OK(open(common_file, O_RDONLY | O_NOATIME));
  in_process_of(somebody, keep_access_time, 0);
}
