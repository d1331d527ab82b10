// What can be changed about a pipe: how much it holds (F_SETPIPE_SZ), and whether it keeps the bounds of what
// was written (O_DIRECT).
#include <poll.h>
#include <sys/ioctl.h>

#include "common/pages.h"
#include "common/turns.h"

static void open_pipe(int ends[2], int flags) { REQUIRE(pipe2(ends, flags) == 0); }

// Writes to a non-blocking pipe until it takes no more; returns the bytes it took.
static size_t fill(int fd) {
  char bytes[page_size];
  memset(bytes, 'f', sizeof bytes);
  size_t total = 0;
  ssize_t n;
  while ((n = write(fd, bytes, sizeof bytes)) > 0) total += (size_t)n;
  CHECK(n == -1 && errno == EAGAIN);
  return total;
}

static bool writable(int fd) {
  struct pollfd poll_one = {.fd = fd, .events = POLLOUT};
  return poll(&poll_one, 1, 0) == 1 && (poll_one.revents & POLLOUT) != 0;
}

// --- Capacity ---

TEST(capacity, "a pipe holds 64 KiB, or what F_SETPIPE_SZ says, rounded up to a power of two of pages") {
  int ends[2];
  open_pipe(ends, O_NONBLOCK);
  CHECK_EQ(fcntl(ends[0], F_GETPIPE_SZ), 65536);
  CHECK_EQ(fill(ends[1]), 65536);
  open_pipe(ends, O_NONBLOCK);
  CHECK_EQ(fcntl(ends[0], F_SETPIPE_SZ, 1), page_size);
  CHECK_EQ(fcntl(ends[1], F_GETPIPE_SZ), page_size);
  CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 2 * page_size + 1), 4 * page_size);
  CHECK_EQ(fcntl(ends[0], F_GETPIPE_SZ), 4 * page_size);
  CHECK_EQ(fill(ends[1]), 4 * page_size);
}

TEST(capacity_keeps_contents, "what a pipe holds stays, in order, when it grows and when it shrinks") {
  int ends[2];
  char wrote[3 * page_size], got[sizeof wrote];
  for (size_t i = 0; i < sizeof wrote; i++) wrote[i] = (char)(i * 7 + i / page_size);
  open_pipe(ends, O_NONBLOCK);
  REQUIRE(fcntl(ends[1], F_SETPIPE_SZ, 4 * page_size) == 4 * page_size);
  // The ring of pages is made to wrap round.
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(write(ends[1], wrote, 2 * page_size), 2 * page_size);
    CHECK_EQ(read(ends[0], got, page_size), page_size);
    CHECK_EQ(read(ends[0], got, page_size), page_size);
  }
  CHECK_EQ(write(ends[1], wrote, page_size), page_size);
  CHECK_EQ(read(ends[0], got, 100), 100);
  CHECK_EQ(write(ends[1], wrote + page_size, 2 * page_size), 2 * page_size);
  CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 16 * page_size), 16 * page_size);
  CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 4 * page_size), 4 * page_size);
  int queued = 0;
  CHECK_OK(ioctl(ends[0], FIONREAD, &queued));
  CHECK_EQ(queued, 3 * page_size - 100);
  CHECK_EQ(read(ends[0], got, sizeof got), 3 * page_size - 100);
  CHECK(memcmp(got, wrote + 100, 3 * page_size - 100) == 0);
}

TEST(capacity_busy, "a pipe cannot become smaller than what is in it: EBUSY") {
  int ends[2];
  open_pipe(ends, O_NONBLOCK);
  CHECK_EQ(fill(ends[1]), 65536);
  CHECK_ERR(fcntl(ends[1], F_SETPIPE_SZ, page_size), EBUSY);
  CHECK_EQ(fcntl(ends[1], F_GETPIPE_SZ), 65536);
  char bytes[15 * page_size];
  CHECK_EQ(read(ends[0], bytes, sizeof bytes), sizeof bytes);
  CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, page_size), page_size);
  CHECK(!writable(ends[1]));
  CHECK_EQ(read(ends[0], bytes, sizeof bytes), page_size);
  CHECK(writable(ends[1]));
}

TEST(capacity_limits, "beyond /proc/sys/fs/pipe-max-size only root may go, beyond 2 GiB nobody") {
  int ends[2], limit = 0;
  open_pipe(ends, 0);
  FILE* file = fopen("/proc/sys/fs/pipe-max-size", "r");
  REQUIRE(file && fscanf(file, "%d", &limit) == 1);
  fclose(file);
  if (tap_on_faultline()) CHECK_EQ(limit, 1 << 20);
  if (tap_on_faultline()) CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, limit + 1), 2 * limit);
  open_pipe(ends, 0);
  pid_t child = tap_fork();
  if (child == 0) {
    if (geteuid() == 0) REQUIRE(setresuid(1000, 1000, 1000) == 0);
    CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, limit), limit);
    CHECK_ERR(fcntl(ends[1], F_SETPIPE_SZ, limit + 1), EPERM);
    tap_exit();
  }
  tap_join(child);
  CHECK_ERR(fcntl(ends[1], F_SETPIPE_SZ, 0x80000001u), EINVAL);
  int other = open("/dev/null", O_RDWR);
  CHECK_ERR(fcntl(other, F_SETPIPE_SZ, page_size), EBADF);
  CHECK_ERR(fcntl(other, F_GETPIPE_SZ), EBADF);
}

TEST(capacity_setting, "root changes pipe-max-size, in powers of two of pages") {
  if (!tap_on_faultline()) SKIP("the setting is the whole machine's");
  int fd = open("/proc/sys/fs/pipe-max-size", O_RDWR), ends[2];
  REQUIRE(fd >= 0);
  char text[32] = "";
  CHECK_EQ(write(fd, "20000\n", 6), 6);
  CHECK_EQ(pread(fd, text, sizeof text, 0), 6);
  CHECK(strcmp(text, "32768\n") == 0);
  CHECK_EQ(pread(fd, text, sizeof text, 6), 0);
  pid_t child = tap_fork();
  if (child == 0) {
    REQUIRE(setresuid(1000, 1000, 1000) == 0);
    open_pipe(ends, 0);
    CHECK_EQ(fcntl(ends[0], F_SETPIPE_SZ, 32768), 32768);
    CHECK_ERR(fcntl(ends[0], F_SETPIPE_SZ, 65536), EPERM);
    CHECK_ERR(open("/proc/sys/fs/pipe-max-size", O_WRONLY), EACCES);
    tap_exit();
  }
  tap_join(child);
  CHECK_ERR(write(fd, "x", 1), EINVAL);
  CHECK_EQ(write(fd, "1048576", 7), 7);
}

TEST(capacity_wakes, "a writer that waits for room goes on when the pipe grows") {
  int ends[2];
  open_pipe(ends, 0);
  char bytes[65536 + page_size] = "";
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_EQ(write(ends[1], bytes, sizeof bytes), sizeof bytes);
    tap_exit();
  }
  int queued = 0;
  while (queued < 65536) REQUIRE(ioctl(ends[0], FIONREAD, &queued) == 0);
  CHECK_EQ(fcntl(ends[0], F_SETPIPE_SZ, 2 * 65536), 2 * 65536);
  tap_join(child);
}

TEST(capacity_named, "a named pipe can be changed as one without a name") {
  const char* path = tap_path("fifo");
  REQUIRE(mkfifo(path, 0600) == 0);
  int fd = open(path, O_RDWR | O_NONBLOCK);
  REQUIRE(fd >= 0);
  CHECK_EQ(fcntl(fd, F_GETPIPE_SZ), 65536);
  CHECK_EQ(fcntl(fd, F_SETPIPE_SZ, 2 * page_size), 2 * page_size);
  CHECK_EQ(fill(fd), 2 * page_size);
}

// --- Packets ---

TEST(packets, "O_DIRECT: a read gives one write's bytes, and what it has no room for is lost") {
  int ends[2];
  char bytes[16];
  open_pipe(ends, O_DIRECT | O_NONBLOCK);
  CHECK_EQ(fcntl(ends[1], F_GETFL) & O_DIRECT, O_DIRECT);
  CHECK_EQ(write(ends[1], "one", 3), 3);
  CHECK_EQ(write(ends[1], "", 0), 0);
  CHECK_EQ(write(ends[1], "second", 6), 6);
  CHECK_EQ(write(ends[1], "3rd", 3), 3);
  CHECK_EQ(read(ends[0], bytes, sizeof bytes), 3);
  CHECK(memcmp(bytes, "one", 3) == 0);
  CHECK_EQ(read(ends[0], bytes, 2), 2);
  CHECK(memcmp(bytes, "se", 2) == 0);
  CHECK_EQ(read(ends[0], bytes, sizeof bytes), 3);
  CHECK(memcmp(bytes, "3rd", 3) == 0);
  CHECK_ERR(read(ends[0], bytes, 1), EAGAIN);
}

TEST(packets_of_pages,
     "O_DIRECT: a write of more than PIPE_BUF is several packets, each takes a page of the pipe") {
  int ends[2];
  char bytes[2 * page_size + 10] = "";
  open_pipe(ends, O_DIRECT | O_NONBLOCK);
  CHECK_EQ(write(ends[1], bytes, sizeof bytes), sizeof bytes);
  CHECK_EQ(read(ends[0], bytes, sizeof bytes), page_size);
  CHECK_EQ(read(ends[0], bytes, sizeof bytes), page_size);
  CHECK_EQ(read(ends[0], bytes, sizeof bytes), 10);
  REQUIRE(fcntl(ends[1], F_SETPIPE_SZ, 2 * page_size) == 2 * page_size);
  CHECK_EQ(write(ends[1], "a", 1), 1);
  CHECK(writable(ends[1]));
  CHECK_EQ(write(ends[1], "b", 1), 1);
  CHECK(!writable(ends[1]));
  CHECK_ERR(write(ends[1], "c", 1), EAGAIN);
  CHECK_ERR(fcntl(ends[1], F_SETPIPE_SZ, page_size), EBUSY);
}

TEST(packets_end, "F_SETFL begins and ends the keeping of bounds, for what is written from then on") {
  int ends[2];
  char bytes[16];
  open_pipe(ends, O_NONBLOCK);
  CHECK_EQ(write(ends[1], "by", 2), 2);
  CHECK_EQ(write(ends[1], "tes", 3), 3);
  CHECK_EQ(read(ends[0], bytes, sizeof bytes), 5);
  CHECK_OK(fcntl(ends[1], F_SETFL, O_DIRECT | O_NONBLOCK));
  CHECK_EQ(write(ends[1], "pack", 4), 4);
  CHECK_EQ(write(ends[1], "et", 2), 2);
  CHECK_OK(fcntl(ends[1], F_SETFL, O_NONBLOCK));
  CHECK_EQ(write(ends[1], "more", 4), 4);
  CHECK_EQ(read(ends[0], bytes, sizeof bytes), 4);
  CHECK_EQ(read(ends[0], bytes, sizeof bytes), 2);
  CHECK_EQ(read(ends[0], bytes, sizeof bytes), 4);
}

TEST(packets_bad_address, "a packet that cannot be had from memory is not in the pipe") {
  int ends[2];
  char byte, *unmapped = map_anonymous(1);
  REQUIRE(munmap(unmapped, page_size) == 0);
  open_pipe(ends, O_DIRECT | O_NONBLOCK);
  CHECK_ERR(write(ends[1], unmapped, 1), EFAULT);
  CHECK_ERR(read(ends[0], &byte, 1), EAGAIN);
  CHECK_EQ(write(ends[1], "x", 1), 1);
  CHECK_ERR(write(ends[1], unmapped, 1), EFAULT);
  CHECK_EQ(read(ends[0], &byte, 1), 1);
  CHECK_ERR(read(ends[0], &byte, 1), EAGAIN);
}
