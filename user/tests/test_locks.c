// Advisory locks: flock's, which belong to an open file, and fcntl's, which belong to a process.
#include <sys/file.h>
#include <sys/mman.h>

#include "common/locks.h"
#include "common/pages.h"
#include "common/turns.h"

static int set_lock(int fd, int command, int type, int whence, off_t start, off_t length) {
  struct flock lock = {.l_type = (short)type, .l_whence = (short)whence, .l_start = start, .l_len = length};
  return fcntl(fd, command, &lock);
}

static int lock_range(int fd, int type, off_t start, off_t length) {
  return set_lock(fd, F_SETLK, type, SEEK_SET, start, length);
}

// What a new process finds in its way to an exclusive lock of [start, start + length): "W 10+20", "R 0+0", or
// "-" for nothing. The owner must be this process.
static void expect_held(int fd, off_t start, off_t length, const char* want) {
  pid_t owner = getpid();
  pid_t child = tap_fork();
  if (child == 0) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    CHECK_OK(fcntl(fd, F_GETLK, &lock));
    char got[64] = "-";
    if (lock.l_type != F_UNLCK) {
      snprintf(got, sizeof got, "%c %lld+%lld", lock.l_type == F_WRLCK ? 'W' : 'R', (long long)lock.l_start,
               (long long)lock.l_len);
      CHECK_EQ(lock.l_pid, owner);
      CHECK_EQ(lock.l_whence, SEEK_SET);
    }
    if (strcmp(got, want) != 0) FAIL("held from %lld on: %s, expected %s", (long long)start, got, want);
    tap_exit();
  }
  tap_join(child);
}

// --- flock ---

TEST(flock_excludes, "an exclusive flock keeps out every other open file, a shared one only exclusive ones") {
  int first = open_file(), second = open_file(), third = open_file();
  CHECK_OK(flock(first, LOCK_EX));
  CHECK_ERR(flock(second, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  CHECK_ERR(flock(second, LOCK_SH | LOCK_NB), EWOULDBLOCK);
  CHECK_OK(flock(first, LOCK_SH));
  CHECK_OK(flock(second, LOCK_SH | LOCK_NB));
  CHECK_ERR(flock(third, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  CHECK_OK(flock(first, LOCK_UN));
  CHECK_OK(flock(second, LOCK_EX | LOCK_NB));
  CHECK_OK(flock(second, LOCK_UN));
  CHECK_OK(flock(third, LOCK_EX | LOCK_NB));
}

TEST(flock_owner,
     "a flock belongs to the open file: duplicates and children share it, the last close ends it") {
  int fd = open_file(), copy = dup(fd), other = open_file();
  CHECK_OK(flock(fd, LOCK_EX));
  CHECK_OK(flock(copy, LOCK_EX | LOCK_NB));
  close(fd);
  CHECK_ERR(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  int release;
  pid_t child = fork_held(&release);
  if (child == 0) tap_exit();
  close(copy);
  CHECK_ERR(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  close(release);
  tap_join(child);
  CHECK_OK(flock(other, LOCK_EX | LOCK_NB));
}

TEST(flock_waits, "flock sleeps until the lock is free; a signal ends the wait") {
  int fd = open_file();
  CHECK_OK(flock(fd, LOCK_EX));
  int* turn = (int*)map_shared(1);
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_OK(flock(open_file(), LOCK_EX));
    CHECK_EQ(__atomic_load_n(turn, __ATOMIC_SEQ_CST), 1);
    tap_exit();
  }
  wait_until_asleep(child);
  __atomic_store_n(turn, 1, __ATOMIC_SEQ_CST);
  CHECK_OK(flock(fd, LOCK_UN));
  tap_join(child);

  CHECK_OK(flock(fd, LOCK_EX));
  child = tap_fork();
  if (child == 0) {
    struct sigaction action = {.sa_handler = note_signal};
    sigaction(SIGUSR1, &action, NULL);
    CHECK_ERR(flock(open_file(), LOCK_SH), EINTR);
    CHECK_EQ(signals_seen, 1);
    tap_exit();
  }
  wait_until_asleep(child);
  kill(child, SIGUSR1);
  tap_join(child);
}

TEST(flock_arguments, "flock refuses what is no lock and what is no file") {
  int fd = open_file();
  CHECK_ERR(flock(fd, 0), EINVAL);
  CHECK_ERR(flock(fd, 77), EINVAL);
  CHECK_ERR(flock(-1, LOCK_EX), EBADF);
  CHECK_OK(flock(fd, LOCK_UN));
}

// --- Record locks ---

TEST(record_excludes, "a write lock keeps out other processes where it lies, a read lock only their writes") {
  int fd = open_file();
  CHECK_OK(lock_range(fd, F_WRLCK, 10, 20));
  CHECK_OK(lock_range(fd, F_RDLCK, 100, 10));
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_ERR(lock_range(fd, F_WRLCK, 29, 1), EAGAIN);
    CHECK_ERR(lock_range(fd, F_RDLCK, 0, 11), EAGAIN);
    CHECK_ERR(lock_range(fd, F_RDLCK, 0, 0), EAGAIN);
    CHECK_ERR(lock_range(fd, F_WRLCK, 105, 1), EAGAIN);
    CHECK_OK(lock_range(fd, F_RDLCK, 105, 1));
    CHECK_OK(lock_range(fd, F_WRLCK, 0, 10));
    CHECK_OK(lock_range(fd, F_WRLCK, 30, 70));
    tap_exit();
  }
  tap_join(child);
  // What the child had went with it.
  CHECK_OK(lock_range(fd, F_WRLCK, 0, 0));
}

TEST(record_pieces, "locking and unlocking parts cuts and joins what a process holds") {
  int fd = open_file();
  CHECK_OK(lock_range(fd, F_WRLCK, 0, 100));
  CHECK_OK(lock_range(fd, F_UNLCK, 40, 20));
  expect_held(fd, 0, 0, "W 0+40");
  expect_held(fd, 40, 20, "-");
  expect_held(fd, 50, 0, "W 60+40");
  CHECK_OK(lock_range(fd, F_RDLCK, 20, 60));
  expect_held(fd, 0, 20, "W 0+20");
  expect_held(fd, 20, 10, "R 20+60");
  expect_held(fd, 80, 1, "W 80+20");
  CHECK_OK(lock_range(fd, F_WRLCK, 20, 60));
  expect_held(fd, 50, 1, "W 0+100");
  CHECK_OK(lock_range(fd, F_WRLCK, 100, 5));  // a neighbour of the same kind
  expect_held(fd, 50, 1, "W 0+105");
  CHECK_OK(lock_range(fd, F_UNLCK, 0, 0));
  expect_held(fd, 0, 0, "-");
}

TEST(record_positions, "a range counts from the start, the offset or the end of the file, also backwards") {
  int fd = open_file();
  REQUIRE(ftruncate(fd, 1000) == 0);
  REQUIRE(lseek(fd, 500, SEEK_SET) == 500);
  CHECK_OK(set_lock(fd, F_SETLK, F_WRLCK, SEEK_CUR, -100, 50));
  expect_held(fd, 0, 0, "W 400+50");
  CHECK_OK(set_lock(fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 0));
  CHECK_OK(set_lock(fd, F_SETLK, F_WRLCK, SEEK_END, -10, 0));
  expect_held(fd, 0, 0, "W 990+0");
  CHECK_OK(set_lock(fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 0));
  CHECK_OK(set_lock(fd, F_SETLK, F_WRLCK, SEEK_SET, 300, -100));
  expect_held(fd, 0, 0, "W 200+100");
  CHECK_ERR(set_lock(fd, F_SETLK, F_WRLCK, SEEK_SET, -1, 5), EINVAL);
  CHECK_ERR(set_lock(fd, F_SETLK, F_WRLCK, SEEK_SET, 10, -11), EINVAL);
  CHECK_ERR(set_lock(fd, F_SETLK, F_WRLCK, 9, 0, 1), EINVAL);
  CHECK_ERR(set_lock(fd, F_SETLK, 9, SEEK_SET, 0, 1), EINVAL);
  CHECK_ERR(set_lock(fd, F_SETLK, F_WRLCK, SEEK_SET, INT64_MAX, 2), EOVERFLOW);
  CHECK_ERR(fcntl(fd, F_SETLK, (struct flock*)8), EFAULT);
}

TEST(record_access, "a lock wants the right that it protects") {
  close(open_file());
  int reader = open(tap_path("file"), O_RDONLY), writer = open(tap_path("file"), O_WRONLY);
  CHECK_ERR(lock_range(reader, F_WRLCK, 0, 1), EBADF);
  CHECK_ERR(lock_range(writer, F_RDLCK, 0, 1), EBADF);
  CHECK_OK(lock_range(reader, F_RDLCK, 0, 1));
  CHECK_OK(lock_range(writer, F_WRLCK, 0, 1));
  CHECK_ERR(lock_range(-1, F_RDLCK, 0, 1), EBADF);
}

TEST(record_close, "closing any descriptor of a file gives up all that the process holds of it") {
  int fd = open_file(), other = open_file();
  CHECK_OK(lock_range(fd, F_WRLCK, 0, 10));
  expect_held(fd, 0, 0, "W 0+10");
  close(other);
  expect_held(fd, 0, 0, "-");
  CHECK_OK(lock_range(fd, F_WRLCK, 0, 10));
  int null = open("/dev/null", O_RDWR), copy = dup(fd);
  dup2(null, copy);
  expect_held(fd, 0, 0, "-");
}

TEST(record_wait, "F_SETLKW sleeps until the range is free, and again until all of it is") {
  int fd = open_file();
  CHECK_OK(lock_range(fd, F_WRLCK, 0, 10));
  CHECK_OK(lock_range(fd, F_WRLCK, 20, 10));
  int* turn = (int*)map_shared(1);
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_OK(set_lock(fd, F_SETLKW, F_WRLCK, SEEK_SET, 0, 30));
    CHECK_EQ(__atomic_load_n(turn, __ATOMIC_SEQ_CST), 1);
    tap_exit();
  }
  wait_until_asleep(child);
  CHECK_OK(lock_range(fd, F_UNLCK, 0, 10));
  wait_until_asleep(child);
  __atomic_store_n(turn, 1, __ATOMIC_SEQ_CST);
  CHECK_OK(lock_range(fd, F_UNLCK, 20, 10));
  tap_join(child);
}

TEST(record_wait_ended,
     "a process that is killed while it waits, or while others wait for it, is out of the way") {
  int fd = open_file();
  CHECK_OK(lock_range(fd, F_WRLCK, 0, 10));
  pid_t waiter = tap_fork();
  if (waiter == 0) _exit(set_lock(fd, F_SETLKW, F_WRLCK, SEEK_SET, 0, 10));
  wait_until_asleep(waiter);
  kill(waiter, SIGKILL);
  tap_wait(waiter);
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  pid_t holder = tap_fork();
  if (holder == 0) {
    CHECK_OK(lock_range(fd, F_WRLCK, 50, 10));
    CHECK_EQ(write(ends[1], "x", 1), 1);
    for (;;) pause();
  }
  char byte;
  CHECK_EQ(read(ends[0], &byte, 1), 1);
  waiter = tap_fork();
  if (waiter == 0) _exit(set_lock(fd, F_SETLKW, F_WRLCK, SEEK_SET, 50, 10));
  wait_until_asleep(waiter);
  kill(holder, SIGKILL);
  tap_wait(holder);
  tap_join(waiter);
}

TEST(record_deadlock, "whoever would close a circle of waiting processes gets EDEADLK") {
  int fd = open_file();
  CHECK_OK(lock_range(fd, F_WRLCK, 0, 1));
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_OK(lock_range(fd, F_WRLCK, 1, 1));
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_OK(set_lock(fd, F_SETLKW, F_WRLCK, SEEK_SET, 0, 1));
    tap_exit();
  }
  char byte;
  CHECK_EQ(read(ends[0], &byte, 1), 1);
  wait_until_asleep(child);
  CHECK_ERR(set_lock(fd, F_SETLKW, F_WRLCK, SEEK_SET, 1, 1), EDEADLK);
  CHECK_OK(lock_range(fd, F_UNLCK, 0, 1));
  tap_join(child);
  CHECK_OK(set_lock(fd, F_SETLKW, F_WRLCK, SEEK_SET, 1, 1));
}

TEST(record_random, "random locks of two processes agree with a map of who holds each byte") {
  enum { bytes = 64, steps = 1500 };
  int fd = open_file();
  char held[2][bytes] = {{0}};  // 'R', 'W' or 0, by process
  int to_child[2], from_child[2];
  REQUIRE(pipe(to_child) == 0 && pipe(from_child) == 0);
  pid_t child = tap_fork();
  struct flock lock;
  if (child == 0) {
    close(to_child[1]);
    while (read(to_child[0], &lock, sizeof lock) == sizeof lock) {
      int result = fcntl(fd, F_SETLK, &lock);
      REQUIRE(write(from_child[1], &result, sizeof result) == sizeof result);
    }
    tap_exit();
  }
  for (int step = 0; step < steps && !tap_failures; step++) {
    int who = (int)tap_below(2), start = (int)tap_below(bytes),
        end = start + 1 + (int)tap_below(bytes - start);
    static const short types[] = {F_RDLCK, F_WRLCK, F_UNLCK};
    short type = types[tap_below(3)];
    lock = (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = end - start};
    bool free = true;
    for (int i = start; i < end && type != F_UNLCK; i++)
      free = free && (held[!who][i] == 0 || (type == F_RDLCK && held[!who][i] == 'R'));
    int result;
    if (who == 0) {
      result = fcntl(fd, F_SETLK, &lock);
    } else {
      REQUIRE(write(to_child[1], &lock, sizeof lock) == sizeof lock);
      REQUIRE(read(from_child[0], &result, sizeof result) == sizeof result);
    }
    if ((result == 0) != free)
      FAIL("step %d: process %d, type %d, %d..%d: %d", step, who, type, start, end, result);
    if (result == 0)
      memset(held[who] + start, type == F_UNLCK ? 0 : type == F_RDLCK ? 'R' : 'W', end - start);
  }
  close(to_child[1]);
  tap_join(child);
}

TEST(path_only, "a descriptor opened with O_PATH names its file and gives no access to it") {
  const char* path = tap_path("file");
  close(open(path, O_WRONLY | O_CREAT, 0600));
  int fd = (int)CHECK_OK(open(path, O_PATH | O_RDWR));
  struct stat info;
  char byte;
  CHECK_EQ(fstat(fd, &info), 0);
  CHECK_EQ(close(dup(fd)), 0);
  CHECK_EQ(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
  CHECK_ERR(read(fd, &byte, 1), EBADF);
  CHECK_ERR(write(fd, "x", 1), EBADF);
  CHECK_ERR(lseek(fd, 0, SEEK_SET), EBADF);
  CHECK_ERR(ftruncate(fd, 0), EBADF);
  CHECK_ERR(fchmod(fd, 0644), EBADF);
  CHECK_ERR(fchown(fd, 0, 0), EBADF);
  CHECK_ERR(fsync(fd), EBADF);
  CHECK_ERR(flock(fd, LOCK_EX), EBADF);
  CHECK_ERR(set_lock(fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 1), EBADF);
  CHECK_ERR(fcntl(fd, F_SETFL, O_APPEND), EBADF);
  CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == EBADF);
}
