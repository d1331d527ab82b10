// Pipes and polling: order, ends, atomic writes, blocking and not.
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "common/pages.h"
#include "common/threads.h"

static void open_pipe(int ends[2], int flags) { REQUIRE(pipe2(ends, flags) == 0); }

// Writes to a non-blocking pipe until it is full; returns the bytes it took.
static size_t fill(int fd) {
  char bytes[1024];
  memset(bytes, 'f', sizeof bytes);
  size_t total = 0;
  ssize_t n;
  while ((n = write(fd, bytes, sizeof bytes)) > 0) total += (size_t)n;
  CHECK(n == -1 && errno == EAGAIN);
  while (write(fd, bytes, 1) == 1) total++;
  return total;
}

TEST(order, "bytes come out in the order they went in, across writes of any size") {
  int ends[2];
  char bytes[32];
  open_pipe(ends, 0);
  CHECK_EQ(write(ends[1], "abc", 3), 3);
  CHECK_EQ(write(ends[1], "", 0), 0);
  CHECK_EQ(write(ends[1], "defgh", 5), 5);
  CHECK_EQ(read(ends[0], bytes, 2), 2);
  CHECK_EQ(read(ends[0], bytes + 2, 30), 6);
  CHECK(memcmp(bytes, "abcdefgh", 8) == 0);
}

TEST(wrong_end, "the read end cannot be written nor the write end read") {
  int ends[2];
  char byte = 0;
  open_pipe(ends, 0);
  CHECK_ERR(write(ends[0], &byte, 1), EBADF);
  CHECK_ERR(read(ends[1], &byte, 1), EBADF);
  if (!tap_emulated()) CHECK_ERR(pipe2(ends, 0x40000000), EINVAL);
}

TEST(end_of_file, "read gives what is left and then 0 once no writer is left, in any process") {
  int ends[2];
  char bytes[8];
  open_pipe(ends, 0);
  pid_t child = tap_fork();
  if (child == 0) {
    close(ends[0]);
    CHECK_EQ(write(ends[1], "last", 4), 4);
    tap_exit();
  }
  close(ends[1]);
  CHECK_EQ(read(ends[0], bytes, 8), 4);
  CHECK_EQ(read(ends[0], bytes, 8), 0);
  CHECK_EQ(read(ends[0], bytes, 8), 0);
  tap_join(child);
}

static volatile sig_atomic_t pipe_signals;
static void count_pipe_signal(int signal_number) { pipe_signals += signal_number == SIGPIPE; }

TEST(broken, "a write without a reader is EPIPE and SIGPIPE, which ends a process that does not care") {
  int ends[2];
  open_pipe(ends, 0);
  close(ends[0]);
  signal(SIGPIPE, SIG_IGN);
  CHECK_ERR(write(ends[1], "x", 1), EPIPE);
  signal(SIGPIPE, count_pipe_signal);
  CHECK_ERR(write(ends[1], "x", 1), EPIPE);
  CHECK_EQ(pipe_signals, 1);
  pid_t child = tap_fork();
  if (child == 0) {
    signal(SIGPIPE, SIG_DFL);
    write(ends[1], "x", 1) == 1 ? _exit(1) : _exit(2);
  }
  int status = tap_wait(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
}

TEST(not_blocking, "with O_NONBLOCK an empty pipe and a full one are EAGAIN") {
  int ends[2];
  char byte;
  open_pipe(ends, O_NONBLOCK);
  CHECK_ERR(read(ends[0], &byte, 1), EAGAIN);
  size_t capacity = fill(ends[1]);
  CHECK(capacity >= PIPE_BUF);
  CHECK_ERR(write(ends[1], "x", 1), EAGAIN);
  CHECK_EQ(fcntl(ends[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
  CHECK_EQ(fcntl(ends[0], F_SETFL, 0), 0);
  CHECK_EQ(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
}

TEST(all_or_nothing, "a non-blocking write of up to PIPE_BUF bytes that do not all fit takes none") {
  int ends[2];
  char bytes[PIPE_BUF];
  open_pipe(ends, O_NONBLOCK);
  size_t capacity = fill(ends[1]);
  CHECK_EQ(read(ends[0], bytes, PIPE_BUF / 2), PIPE_BUF / 2);
  CHECK_ERR(write(ends[1], bytes, PIPE_BUF), EAGAIN);
  size_t left = 0;
  ssize_t n;
  while ((n = read(ends[0], bytes, sizeof bytes)) > 0) left += (size_t)n;
  CHECK_EQ(left, capacity - PIPE_BUF / 2);
}

TEST(full_blocks, "a write to a full pipe waits until there is room and loses nothing") {
  enum { size = 300000 };
  int ends[2];
  open_pipe(ends, 0);
  pid_t child = tap_fork();
  if (child == 0) {
    close(ends[0]);
    unsigned char* bytes = (unsigned char*)map_anonymous(size / page_size + 1);
    for (int i = 0; i < size; i++) bytes[i] = (unsigned char)(i * 31 >> 3);
    CHECK_EQ(write(ends[1], bytes, size), size);
    tap_exit();
  }
  close(ends[1]);
  unsigned char bytes[1777];
  int at = 0;
  ssize_t n;
  while ((n = read(ends[0], bytes, sizeof bytes)) > 0)
    for (ssize_t i = 0; i < n; i++, at++)
      if (bytes[i] != (unsigned char)(at * 31 >> 3)) {
        FAIL("byte %d is %d", at, bytes[i]);
        return;
      }
  CHECK_EQ(at, size);
  tap_join(child);
}

TEST(atomic, "writes of up to PIPE_BUF bytes by eight processes at once are never mixed") {
  enum { writers = 8, records = 60, length = 512 };
  int ends[2];
  open_pipe(ends, 0);
  pid_t children[writers];
  for (int w = 0; w < writers; w++) {
    children[w] = tap_fork();
    if (children[w] != 0) continue;
    char record[length];
    memset(record, 'a' + w, sizeof record);
    for (int i = 0; i < records; i++) CHECK_EQ(write(ends[1], record, length), length);
    tap_exit();
  }
  close(ends[1]);
  char record[length];
  int count = 0;
  for (;; count++) {
    ssize_t got = 0, n = 1;
    while (got < length && (n = read(ends[0], record + got, length - got)) > 0) got += n;
    if (got == 0) break;
    CHECK_EQ(got, length);
    for (int i = 1; i < length; i++)
      if (record[i] != record[0]) {
        FAIL("record %d is mixed", count);
        break;
      }
  }
  CHECK_EQ(count, writers * records);
  for (int w = 0; w < writers; w++) tap_join(children[w]);
}

TEST(ping_pong, "two processes pass a token 2,000 times through two pipes") {
  enum { rounds = 2000 };
  int there[2], back[2];
  open_pipe(there, 0);
  open_pipe(back, 0);
  pid_t child = tap_fork();
  int value;
  if (child == 0) {
    for (int i = 0; i < rounds; i++) {
      REQUIRE(read(there[0], &value, sizeof value) == sizeof value);
      value++;
      REQUIRE(write(back[1], &value, sizeof value) == sizeof value);
    }
    tap_exit();
  }
  for (int i = 0; i < rounds; i++) {
    REQUIRE(write(there[1], &i, sizeof i) == sizeof i);
    REQUIRE(read(back[0], &value, sizeof value) == sizeof value);
    CHECK_EQ(value, i + 1);
  }
  tap_join(child);
}

static short poll_one(int fd, short events, int timeout) {
  struct pollfd entry = {fd, events, 0};
  int n = poll(&entry, 1, timeout);
  CHECK_EQ(n, entry.revents != 0);
  return entry.revents;
}

TEST(polling, "poll tells readable, writable, hung up, broken and invalid descriptors") {
  int ends[2];
  open_pipe(ends, O_NONBLOCK);
  CHECK_EQ(poll_one(ends[0], POLLIN, 0), 0);
  CHECK_EQ(poll_one(ends[1], POLLOUT, 0), POLLOUT);
  CHECK_EQ(write(ends[1], "x", 1), 1);
  CHECK_EQ(poll_one(ends[0], POLLIN, -1), POLLIN);
  fill(ends[1]);
  CHECK_EQ(poll_one(ends[1], POLLOUT, 0), 0);
  close(ends[1]);
  CHECK_EQ(poll_one(ends[0], POLLIN, 0), POLLIN | POLLHUP);
  open_pipe(ends, 0);
  close(ends[0]);
  CHECK(poll_one(ends[1], POLLOUT, 0) & POLLERR);
  CHECK_EQ(poll_one(12345, POLLIN, 0), POLLNVAL);
  CHECK_EQ(poll_one(-1, POLLIN, 0), 0);
  int file = create_file(tap_path("file"), "", 0);
  CHECK_EQ(poll_one(file, POLLIN | POLLOUT, 0), POLLIN | POLLOUT);
}

TEST(poll_waits, "poll waits for its time if nothing happens and no longer than for the event if it does") {
  int ends[2], release[2];
  open_pipe(ends, 0);
  open_pipe(release, 0);
  uint64_t start = tap_nanoseconds();
  CHECK_EQ(poll_one(ends[0], POLLIN, 50), 0);
  CHECK(tap_nanoseconds() - start >= 50000000);
  pid_t child = tap_fork();
  if (child == 0) {
    char byte;
    REQUIRE(read(release[0], &byte, 1) == 1);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    tap_exit();
  }
  CHECK_EQ(write(release[1], "x", 1), 1);
  CHECK_EQ(poll_one(ends[0], POLLIN, -1), POLLIN);
  tap_join(child);
  CHECK_EQ(poll(NULL, 0, 10), 0);
}

TEST(capacity, "FIONREAD tells the bytes in a pipe") {
  int ends[2], count = -1;
  open_pipe(ends, 0);
  CHECK_EQ(ioctl(ends[0], FIONREAD, &count), 0);
  CHECK_EQ(count, 0);
  CHECK_EQ(write(ends[1], "12345", 5), 5);
  CHECK_EQ(ioctl(ends[0], FIONREAD, &count), 0);
  CHECK_EQ(count, 5);
  if (!tap_emulated()) CHECK_ERR(ioctl(ends[0], 0x12345, &count), ENOTTY);
}

static void* blocked_reader(void* argument) {
  char byte;
  return (void*)(intptr_t)read(*(int*)argument, &byte, 1);
}

TEST(closed_elsewhere,
     "threads blocked in read of one pipe get one byte each, and the end when writers are gone") {
  enum { readers = 4 };
  int ends[2], counts[2] = {0, 0};
  pthread_t threads[readers];
  open_pipe(ends, 0);
  for (int i = 0; i < readers; i++) REQUIRE(pthread_create(&threads[i], NULL, blocked_reader, &ends[0]) == 0);
  CHECK_EQ(write(ends[1], "ab", 2), 2);
  close(ends[1]);
  for (int i = 0; i < readers; i++) {
    void* result;
    pthread_join(threads[i], &result);
    CHECK((intptr_t)result == 0 || (intptr_t)result == 1);
    counts[(intptr_t)result == 1]++;
  }
  CHECK_EQ(counts[1], 2);
  CHECK_EQ(counts[0], 2);
}

TEST(many, "100 pipes at once keep their bytes apart") {
  enum { pipes = 100 };
  int ends[pipes][2];
  for (int i = 0; i < pipes; i++) {
    open_pipe(ends[i], 0);
    CHECK_EQ(write(ends[i][1], &i, sizeof i), sizeof i);
  }
  for (int i = pipes - 1; i >= 0; i--) {
    int value = -1;
    CHECK_EQ(read(ends[i][0], &value, sizeof value), sizeof value);
    CHECK_EQ(value, i);
  }
}

TEST(long_pipeline, "bytes pass through a line of ten processes unchanged") {
  enum { stages = 10 };
  int source[2], ends[2];
  open_pipe(source, 0);
  int in = source[0];
  pid_t children[stages];
  for (int i = 0; i < stages; i++) {
    open_pipe(ends, 0);
    children[i] = tap_fork();
    if (children[i] == 0) {
      char bytes[700];
      ssize_t n;
      close(source[1]);
      close(ends[0]);
      while ((n = read(in, bytes, sizeof bytes)) > 0) CHECK_EQ(write(ends[1], bytes, n), n);
      tap_exit();
    }
    close(in);
    close(ends[1]);
    in = ends[0];
  }
  char sent[5000], got[5000];
  for (size_t i = 0; i < sizeof sent; i++) sent[i] = (char)(i * 7);
  CHECK_EQ(write(source[1], sent, sizeof sent), sizeof sent);
  close(source[1]);
  size_t at = 0;
  ssize_t n;
  while (at < sizeof got && (n = read(in, got + at, sizeof got - at)) > 0) at += (size_t)n;
  CHECK_EQ(at, sizeof sent);
  CHECK(memcmp(sent, got, sizeof sent) == 0);
  for (int i = 0; i < stages; i++) tap_join(children[i]);
}
