// readv, writev, preadv and pwritev: pieces of every size, at every place of a page, from and to every kind
// of file.
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/pages.h"
#include "common/tap.h"

enum { total = 3 * 4096 + 77, most_pieces = 12 };

static char source[total], sink[total + 1];

// Cuts `total` bytes of memory, from a place in the middle of a page on, into pieces: empty ones, single
// bytes, some that end just at, before or behind a page's end, and one that is longer than a page.
static int cut(char* memory, struct iovec* pieces) {
  static const size_t sizes[] = {0, 1, 94, 4001, 0, 1, 4095, 4096, 0, 3};
  int count = 0;
  size_t done = 0;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    pieces[count++] = (struct iovec){memory + done, sizes[i]};
    done += sizes[i];
  }
  REQUIRE(done < total && count < most_pieces);
  pieces[count++] = (struct iovec){memory + done, total - done};
  return count;
}

// Memory whose pieces cross pages that nobody has touched.
static char* fresh_memory(void) {
  char* at = (char*)mmap(NULL, 5 * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(at != MAP_FAILED);
  return at + page_size - 96;
}

static void fill_source(void) {
  for (size_t i = 0; i < total; i++) source[i] = (char)(1 + i % 251);
}

static void check_passes(int to, int from) {
  fill_source();
  struct iovec pieces[most_pieces];
  char* out = fresh_memory();
  memcpy(out, source, total);
  int count = cut(out, pieces);
  CHECK_EQ(writev(to, pieces, count), total);
  char* in = fresh_memory();
  count = cut(in, pieces);
  // A stream may give less than is asked for.
  size_t got = 0;
  while (got < total) {
    ssize_t part = readv(from, pieces, count);
    REQUIRE(part > 0);
    got += (size_t)part;
    if (got == total) break;
    for (int i = 0; i < count; i++) {
      size_t skipped = (size_t)part < pieces[i].iov_len ? (size_t)part : pieces[i].iov_len;
      pieces[i].iov_base = (char*)pieces[i].iov_base + skipped;
      pieces[i].iov_len -= skipped;
      part -= (ssize_t)skipped;
    }
  }
  CHECK(memcmp(in, source, total) == 0);
}

TEST(file, "through a file") {
  int fd = create_file(tap_path("file"), "", 0);
  int again = open(tap_path("file"), O_RDONLY);
  check_passes(fd, again);
}

TEST(pipe, "through a pipe") {
  int ends[2];
  CHECK_OK(pipe(ends));
  check_passes(ends[1], ends[0]);
}

TEST(socket, "through a pair of sockets") {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) SKIP("there are no sockets");
  check_passes(ends[1], ends[0]);
}

TEST(at_an_offset, "at an offset, which leaves the file's own where it is") {
  fill_source();
  int fd = create_file(tap_path("file"), "begin", 5);
  struct iovec pieces[most_pieces];
  char* out = fresh_memory();
  memcpy(out, source, total);
  int count = cut(out, pieces);
  off_t before = lseek(fd, 0, SEEK_CUR);
  CHECK_EQ(pwritev(fd, pieces, count, 4090), total);
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), before);
  char* in = fresh_memory();
  count = cut(in, pieces);
  CHECK_EQ(preadv(fd, pieces, count, 4090), total);
  CHECK(memcmp(in, source, total) == 0);
  CHECK_EQ(preadv(fd, pieces, count, 4090 + total - 10), 10);
  CHECK(memcmp(in, source + total - 10, 10) == 0);
  CHECK_EQ(pread(fd, sink, 10, 0), 10);
  CHECK(memcmp(sink, "begin\0\0\0\0\0", 10) == 0);
}

TEST(devices, "from /dev/zero and to /dev/null") {
  struct iovec pieces[most_pieces];
  char* in = fresh_memory();
  memset(in, 'x', total);
  int count = cut(in, pieces);
  int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
  CHECK_EQ(readv(zero, pieces, count), total);
  for (size_t i = 0; i < total; i++)
    if (in[i] != 0) {
      FAIL("byte %zu is %d", i, in[i]);
      break;
    }
  CHECK_EQ(writev(null, pieces, count), total);
}

TEST(bad_piece, "what lies in front of a bad piece is transferred, and a bad first piece is EFAULT") {
  int fd = create_file(tap_path("file"), "", 0);
  char* good = fresh_memory();
  memset(good, 'g', 200);
  struct iovec pieces[] = {{good, 200}, {(void*)8, 100}, {good, 50}};
  CHECK_EQ(writev(fd, pieces, 3), 200);
  CHECK_ERR(writev(fd, pieces + 1, 2), EFAULT);
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 200);
  CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
  pieces[0].iov_len = 100;
  CHECK_EQ(readv(fd, pieces, 3), 100);
}

TEST(limits, "no piece is no byte; more than 1024 pieces, or more bytes than a call can count, are EINVAL") {
  int fd = create_file(tap_path("file"), "abc", 3);
  static struct iovec pieces[1025];
  CHECK_EQ(writev(fd, pieces, 0), 0);
  CHECK_ERR(writev(fd, pieces, 1025), EINVAL);
  CHECK_EQ(writev(fd, pieces, 1024), 0);
  pieces[0] = (struct iovec){source, (size_t)1 << 63};
  CHECK_ERR(writev(fd, pieces, 1), EINVAL);
  CHECK_ERR(preadv(fd, pieces, 1, -1), EINVAL);
}
