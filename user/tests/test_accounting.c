// What the kernel counts and tells: time on harts, loads, owners of frames; and the rights that it takes from
// files which others have changed.
#include <sched.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/uio.h>

#include "common/pages.h"

static double seconds(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

static struct rusage usage_of(int who) {
  struct rusage usage;
  REQUIRE(getrusage(who, &usage) == 0);
  return usage;
}

static uint64_t clock_of(clockid_t clock) {
  struct timespec now;
  REQUIRE(clock_gettime(clock, &now) == 0);
  return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

// Runs until the process has used `nanoseconds` more, without system calls but for looking at the clock.
static void compute(uint64_t nanoseconds) {
  uint64_t end = clock_of(CLOCK_PROCESS_CPUTIME_ID) + nanoseconds;
  volatile unsigned work = 0;
  do
    for (int i = 0; i < 200000; i++) work += (unsigned)i;
  while (clock_of(CLOCK_PROCESS_CPUTIME_ID) < end);
}

TEST(time_moves, "a process sees its own time go by while it runs, and not while it sleeps") {
  uint64_t before = clock_of(CLOCK_PROCESS_CPUTIME_ID), thread = clock_of(CLOCK_THREAD_CPUTIME_ID);
  compute(30000000);
  CHECK(clock_of(CLOCK_THREAD_CPUTIME_ID) - thread >= 20000000);
  uint64_t used = clock_of(CLOCK_PROCESS_CPUTIME_ID) - before;
  CHECK(used >= 30000000);
  before = clock_of(CLOCK_PROCESS_CPUTIME_ID);
  struct timespec nap = {0, 200000000};
  CHECK_EQ(nanosleep(&nap, NULL), 0);
  CHECK(clock_of(CLOCK_PROCESS_CPUTIME_ID) - before < 100000000);
}

TEST(user_and_system, "computing counts as the program's time, long system calls as the system's") {
  struct rusage start = usage_of(RUSAGE_SELF);
  compute(200000000);
  struct rusage middle = usage_of(RUSAGE_SELF);
  double user = seconds(middle.ru_utime) - seconds(start.ru_utime);
  double kernel = seconds(middle.ru_stime) - seconds(start.ru_stime);
  if (user < 4 * kernel) FAIL("%.3f s in the program, %.3f s in the system while computing", user, kernel);

  size_t size = 1 << 20;
  char* buffer = (char*)malloc(size);
  memset(buffer, 1, size);
  int zero = open("/dev/zero", O_RDONLY);
  uint64_t end = clock_of(CLOCK_PROCESS_CPUTIME_ID) + 200000000;
  while (clock_of(CLOCK_PROCESS_CPUTIME_ID) < end) REQUIRE(read(zero, buffer, size) == (ssize_t)size);
  struct rusage last = usage_of(RUSAGE_SELF);
  user = seconds(last.ru_utime) - seconds(middle.ru_utime);
  kernel = seconds(last.ru_stime) - seconds(middle.ru_stime);
  if (4 * kernel < user) FAIL("%.3f s in the program, %.3f s in the system while reading", user, kernel);
}

TEST(children_time, "the time of children that were waited for is their parent's to ask") {
  pid_t child = tap_fork();
  if (child == 0) {
    compute(50000000);
    tap_exit();
  }
  tap_join(child);
  struct rusage children = usage_of(RUSAGE_CHILDREN);
  CHECK(seconds(children.ru_utime) >= 0.045);
  struct tms times_now;
  times(&times_now);
  CHECK(times_now.tms_cutime >= 4);
}

// Reads a gigabyte at once, again and again; no piece of memory begins or ends with a page.
static void read_for_ever(int fd, volatile unsigned* completed) {
  enum { pieces = 1024, piece = 1 << 20 };
  static struct iovec vectors[pieces];
  char* buffer = map_anonymous(piece / page_size + 1);
  for (int i = 0; i < pieces; i++) vectors[i] = (struct iovec){buffer + 8, piece};
  for (;; ++*completed) {
    REQUIRE(lseek(fd, 0, SEEK_SET) == 0);
    REQUIRE(readv(fd, vectors, pieces) == (ssize_t)pieces * piece);
  }
}

TEST(long_transfer, "a read of a gigabyte lets others on its hart run, and ends with its process") {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  CHECK_OK(sched_setaffinity(0, sizeof one, &one));
  const off_t size = (off_t)1 << 30;
  int fd = open(tap_path("file"), O_RDWR | O_CREAT, 0600);
  REQUIRE(fd >= 0 && ftruncate(fd, size) == 0);
  volatile unsigned* completed = (volatile unsigned*)map_shared(1);
  pid_t child = tap_fork();
  if (child == 0) read_for_ever(fd, completed);
  for (int i = 0; i < 10; i++) nanosleep(&(struct timespec){0, 1000000}, NULL);
  CHECK(*completed < 5);
  CHECK_OK(kill(child, SIGINT));
  CHECK_EQ(tap_wait(child), SIGINT);
  CHECK(lseek(fd, 0, SEEK_CUR) < size);
}

TEST(load_average,
     "/proc/loadavg has three averages, the threads that run among all, and the newest number") {
  char text[128] = "";
  int fd = open("/proc/loadavg", O_RDONLY);
  REQUIRE(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
  double one, five, fifteen;
  int running, threads, newest, end = 0;
  CHECK_EQ(sscanf(text, "%lf %lf %lf %d/%d %d%n", &one, &five, &fifteen, &running, &threads, &newest, &end),
           6);
  CHECK(strcmp(text + end, "\n") == 0);
  CHECK(running >= 1 && threads >= 2 && newest >= getpid());
  struct sysinfo info;
  REQUIRE(sysinfo(&info) == 0);
  double same = (double)info.loads[0] / (1 << SI_LOAD_SHIFT);
  if (same < one - 0.5 || same > one + 0.5) FAIL("sysinfo says %.2f, /proc/loadavg %.2f", same, one);
}

TEST(load_rises, "the load rises while a program runs") {
  if (!tap_on_faultline()) SKIP("others use this machine");
  struct sysinfo before, after;
  REQUIRE(sysinfo(&before) == 0);
  uint64_t end = tap_nanoseconds() + UINT64_C(5500000000);
  while (tap_nanoseconds() < end) {
    compute(10000000);
    sched_yield();
  }
  REQUIRE(sysinfo(&after) == 0);
  CHECK(after.loads[0] > (1 << SI_LOAD_SHIFT) / 20);
}

TEST(new_process, "/proc tells of a process that has not run yet") {
  for (int i = 0; i < 300; i++) {
    pid_t child = tap_fork();
    if (child == 0) _exit(0);
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    int fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    CHECK_EQ(atoi(text), child);
    close(fd);
    tap_wait(child);
  }
}

static uint64_t owners_of(const volatile void* address) {
  uint64_t count = 0, frame = page_frame(address);
  int fd = open("/proc/kpagecount", O_RDONLY);
  if (fd < 0) SKIP("/proc/kpagecount is not readable");
  REQUIRE(frame != 0 && pread(fd, &count, sizeof count, (off_t)(frame * sizeof count)) == sizeof count);
  close(fd);
  return count;
}

TEST(frame_owners, "/proc/kpagecount counts one owner more for each mapping of a page") {
  require_pagemap(true);
  char* private_page = map_anonymous(1);
  *private_page = 1;
  CHECK_EQ(owners_of(private_page), 1);
  int fd = create_file(tap_path("file"), "text", 4);
  char* first = (char*)mmap(NULL, page_size, PROT_READ, MAP_SHARED, fd, 0);
  CHECK_EQ(*(volatile char*)first, 't');
  uint64_t once = owners_of(first);
  char* second = (char*)mmap(NULL, page_size, PROT_READ, MAP_SHARED, fd, 0);
  CHECK_EQ(*(volatile char*)second, 't');
  CHECK_EQ(page_frame(second), page_frame(first));
  CHECK_EQ(owners_of(first), once + 1);
  munmap(second, page_size);
  CHECK_EQ(owners_of(first), once);
}

TEST(frame_owners_ends, "/proc/kpagecount has whole entries and an end") {
  uint64_t entries[64];
  int fd = open("/proc/kpagecount", O_RDONLY);
  if (fd < 0) SKIP("/proc/kpagecount is not readable");
  CHECK_ERR(pread(fd, entries, 7, 0), EINVAL);
  CHECK_ERR(pread(fd, entries, 8, 4), EINVAL);
  CHECK_EQ(pread(fd, entries, sizeof entries, INT64_C(1) << 55), 0);
  CHECK_EQ(pread(fd, entries, sizeof entries, 0), sizeof entries);
}

static mode_t mode_of(const char* path) {
  struct stat info;
  REQUIRE(stat(path, &info) == 0);
  return info.st_mode & 07777;
}

enum { other_user = 1234 };

// Runs `change` as somebody who is neither root nor the owner, on a file with this mode; the mode afterwards.
static mode_t mode_after(mode_t mode, void (*change)(const char* path)) {
  if (geteuid() != 0) SKIP("only root can act for others");
  const char* path = tap_path("program");
  close(create_file(path, "text", 4));
  REQUIRE(chmod(path, mode) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    REQUIRE(setgid(other_user) == 0 && setuid(other_user) == 0);
    change(path);
    tap_exit();
  }
  tap_join(child);
  return mode_of(path);
}

static void append(const char* path) { CHECK_EQ(write(open(path, O_WRONLY | O_APPEND), "x", 1), 1); }
static void write_inside(const char* path) { CHECK_EQ(pwrite(open(path, O_WRONLY), "x", 1, 2), 1); }
static void cut(const char* path) { CHECK_OK(truncate(path, 1)); }
static void open_anew(const char* path) { CHECK_OK(open(path, O_WRONLY | O_TRUNC)); }
static void look(const char* path) {
  char byte;
  CHECK_EQ(read(open(path, O_RDWR), &byte, 1), 1);
}

TEST(set_id_writes, "whoever writes to a program that is not theirs takes its set-ID bits away") {
  CHECK_EQ(mode_after(06777, append), 0777);
  CHECK_EQ(mode_after(06777, write_inside), 0777);
  CHECK_EQ(mode_after(06777, cut), 0777);
  CHECK_EQ(mode_after(06777, open_anew), 0777);
  CHECK_EQ(mode_after(06777, look), 06777);
  CHECK_EQ(mode_after(01777, append), 01777);
}

TEST(set_id_owner, "a new owner or group takes the set-ID bits of a file away, not those of a directory") {
  if (geteuid() != 0) SKIP("only root can give files away");
  const char *path = tap_path("program"), *directory = tap_path("directory");
  close(create_file(path, "text", 4));
  REQUIRE(chmod(path, 06755) == 0);
  CHECK_OK(chown(path, other_user, (gid_t)-1));
  CHECK_EQ(mode_of(path), 0755);
  REQUIRE(chmod(path, 06755) == 0);
  CHECK_OK(chown(path, (uid_t)-1, other_user));
  CHECK_EQ(mode_of(path), 0755);
  // Root may write and keep them.
  REQUIRE(chmod(path, 06755) == 0);
  append(path);
  CHECK_EQ(mode_of(path), 06755);
  REQUIRE(mkdir(directory, 0755) == 0 && chmod(directory, 02755) == 0);
  CHECK_OK(chown(directory, other_user, other_user));
  CHECK_EQ(mode_of(directory), 02755);
}
