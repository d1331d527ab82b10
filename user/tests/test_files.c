// Files and their descriptors: open flags, reading and writing anywhere, sizes, attributes, limits.
#define TAP_OPTIONS "fill"
#include <sys/resource.h>
#include <sys/uio.h>

#include "common/pages.h"

static off_t size_of(int fd) {
  struct stat info;
  REQUIRE(fstat(fd, &info) == 0);
  return info.st_size;
}

static void expect_content(int fd, off_t offset, const char* want) {
  char got[64] = "";
  size_t length = strlen(want);
  ssize_t n = pread(fd, got, length, offset);
  if (n != (ssize_t)length || memcmp(got, want, length) != 0)
    FAIL("at %lld: %zd bytes \"%s\", expected \"%s\"", (long long)offset, n, got, want);
}

TEST(open_flags,
     "open creates, refuses to create twice, cuts off and refuses what is missing, as its flags say") {
  const char* path = tap_path("file");
  CHECK_ERR(open(path, O_RDWR), ENOENT);
  CHECK_ERR(open(tap_path("no/file"), O_RDWR | O_CREAT, 0644), ENOENT);
  int fd = CHECK_OK(open(path, O_RDWR | O_CREAT | O_EXCL, 0644));
  CHECK_EQ(write(fd, "content", 7), 7);
  CHECK_ERR(open(path, O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
  CHECK_EQ(size_of(CHECK_OK(open(path, O_RDWR | O_CREAT, 0644))), 7);
  CHECK_EQ(size_of(CHECK_OK(open(path, O_WRONLY | O_TRUNC))), 0);
  CHECK_ERR(open(path, O_RDONLY | O_DIRECTORY), ENOTDIR);
  CHECK_ERR(open(tap_path("file/under"), O_RDONLY), ENOTDIR);
  CHECK_ERR(open(tap_path("file/"), O_RDONLY), ENOTDIR);
  CHECK_ERR(open("/tmp", O_WRONLY), EISDIR);
  CHECK_ERR(open("/tmp", O_RDWR), EISDIR);
  CHECK_ERR(open("", O_RDONLY), ENOENT);
}

TEST(access_modes, "a descriptor reads and writes only as it was opened to") {
  const char* path = tap_path("file");
  char byte;
  close(create_file(path, "x", 1));
  int reader = open(path, O_RDONLY), writer = open(path, O_WRONLY);
  CHECK_ERR(write(reader, "y", 1), EBADF);
  CHECK_ERR(read(writer, &byte, 1), EBADF);
  CHECK_ERR(ftruncate(reader, 0), EINVAL);
  CHECK_ERR(read(open("/tmp", O_RDONLY), &byte, 1), EISDIR);
  CHECK_ERR(read(-1, &byte, 1), EBADF);
  CHECK_ERR(write(12345, &byte, 1), EBADF);
  CHECK_ERR(close(12345), EBADF);
  CHECK_EQ(close(reader), 0);
  CHECK_ERR(close(reader), EBADF);
}

TEST(appending, "with O_APPEND every write goes to the end, wherever the offset was") {
  const char* path = tap_path("file");
  close(create_file(path, "start", 5));
  int fd = open(path, O_RDWR | O_APPEND), other = open(path, O_WRONLY | O_APPEND);
  CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
  CHECK_EQ(write(fd, "-a", 2), 2);
  CHECK_EQ(write(other, "-b", 2), 2);
  CHECK_EQ(write(fd, "-c", 2), 2);
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 11);
  expect_content(fd, 0, "start-a-b-c");
  CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
  CHECK_EQ(pwrite(fd, "S", 1, 0), 1);
  expect_content(fd, 0, "Start-a-b-c");
}

TEST(seeking,
     "lseek counts from start, offset or end, beyond the end too, and refuses negative offsets and pipes") {
  int fd = create_file(tap_path("file"), "0123456789", 10), ends[2];
  char byte;
  CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
  CHECK_EQ(lseek(fd, 2, SEEK_CUR), 5);
  CHECK_EQ(read(fd, &byte, 1), 1);
  CHECK_EQ(byte, '5');
  CHECK_EQ(lseek(fd, -1, SEEK_END), 9);
  CHECK_EQ(lseek(fd, 100, SEEK_END), 110);
  CHECK_EQ(read(fd, &byte, 1), 0);
  CHECK_EQ(size_of(fd), 10);
  CHECK_ERR(lseek(fd, -1, SEEK_SET), EINVAL);
  CHECK_ERR(lseek(fd, INT64_MAX, SEEK_CUR), EINVAL);
  CHECK_ERR(lseek(fd, -11, SEEK_END), EINVAL);
  CHECK_ERR(lseek(fd, 0, 99), EINVAL);
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 110);
  REQUIRE(pipe(ends) == 0);
  CHECK_ERR(lseek(ends[0], 0, SEEK_SET), ESPIPE);
  CHECK_ERR(pread(ends[0], &byte, 1, 0), ESPIPE);
}

TEST(positioned, "pread and pwrite leave the offset alone and refuse negative ones") {
  int fd = create_file(tap_path("file"), "0123456789", 10);
  char bytes[4] = "";
  CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
  CHECK_EQ(pread(fd, bytes, 3, 7), 3);
  CHECK(memcmp(bytes, "789", 3) == 0);
  CHECK_EQ(pread(fd, bytes, 3, 9), 1);
  CHECK_EQ(pread(fd, bytes, 3, 10), 0);
  CHECK_EQ(pwrite(fd, "ab", 2, 12), 2);
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
  CHECK_EQ(size_of(fd), 14);
  CHECK_EQ(pread(fd, bytes, 4, 10), 4);
  CHECK(memcmp(bytes, "\0\0ab", 4) == 0);
  CHECK_ERR(pread(fd, bytes, 1, -1), EINVAL);
  CHECK_ERR(pwrite(fd, bytes, 1, -1), EINVAL);
}

TEST(vectors, "readv and writev move the parts in order as one transfer") {
  int fd = create_file(tap_path("file"), "", 0);
  struct iovec parts[4] = {{(void*)"one", 3}, {NULL, 0}, {(void*)"two", 3}, {(void*)"three", 5}};
  CHECK_EQ(writev(fd, parts, 4), 11);
  expect_content(fd, 0, "onetwothree");
  char a[4], b[16];
  struct iovec into[2] = {{a, 4}, {b, 16}};
  CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
  CHECK_EQ(readv(fd, into, 2), 11);
  CHECK(memcmp(a, "onet", 4) == 0 && memcmp(b, "wothree", 7) == 0);
  CHECK_EQ(writev(fd, parts, 0), 0);
  volatile int count = -1;
  CHECK_ERR(writev(fd, parts, count), EINVAL);
  count = 5000;
  CHECK_ERR(writev(fd, parts, count), EINVAL);
}

TEST(truncating, "truncate and ftruncate cut off and extend by zeroes, also inside a block") {
  const char* path = tap_path("file");
  char bytes[6000];
  memset(bytes, 'x', sizeof bytes);
  int fd = create_file(path, bytes, sizeof bytes);
  CHECK_EQ(ftruncate(fd, 1000), 0);
  CHECK_EQ(truncate(path, 9000), 0);
  CHECK_EQ(size_of(fd), 9000);
  for (int at = 999; at < 9000; at += at < 1010 ? 1 : 487) {
    char byte = 1;
    CHECK_EQ(pread(fd, &byte, 1, at), 1);
    CHECK_EQ(byte, at < 1000 ? 'x' : 0);
  }
  CHECK_ERR(ftruncate(fd, -1), EINVAL);
  CHECK_ERR(truncate("/tmp", 0), EISDIR);
  CHECK_ERR(truncate(tap_path("missing"), 0), ENOENT);
  CHECK_EQ(ftruncate(fd, 0), 0);
  CHECK_EQ(size_of(fd), 0);
}

TEST(sparse, "a file may have its data beyond 4 GiB, with holes that read as zero and take no room") {
  const off_t far = (off_t)5 << 30;
  int fd = create_file(tap_path("file"), "head", 4);
  CHECK_EQ(pwrite(fd, "tail", 4, far), 4);
  CHECK_EQ(size_of(fd), far + 4);
  expect_content(fd, 0, "head");
  expect_content(fd, far, "tail");
  for (off_t at = 4096; at < far; at = at * 3 + 17) {
    char byte = 1;
    CHECK_EQ(pread(fd, &byte, 1, at), 1);
    CHECK_EQ(byte, 0);
  }
  struct stat info;
  CHECK_EQ(fstat(fd, &info), 0);
  CHECK(info.st_blocks < 1024);
  CHECK_EQ(ftruncate(fd, 2), 0);
  CHECK_EQ(pread(fd, &info, 1, far), 0);
}

TEST(too_large, "a write or extension beyond the largest file is EFBIG and changes nothing") {
  int fd = create_file(tap_path("file"), "x", 1);
  const off_t beyond = (off_t)1 << 60;
  if (pwrite(fd, "y", 1, beyond) == 1) SKIP("files of any size are allowed here");
  CHECK_ERR(pwrite(fd, "y", 1, beyond), EFBIG);
  CHECK_ERR(ftruncate(fd, beyond), EFBIG);
  CHECK_EQ(size_of(fd), 1);
}

TEST(every_depth, "blocks at every depth of a file's map hold their own data") {
  int fd = create_file(tap_path("file"), "", 0);
  static const off_t blocks[] = {0,    11,     12,     13,      1035,    1036,   1037,
                                 2060, 263180, 263181, 1049611, 1049612, 1049613};
  enum { count = sizeof blocks / sizeof *blocks };
  for (int i = 0; i < count; i++) CHECK_EQ(pwrite(fd, &i, sizeof i, blocks[i] * 1024), sizeof i);
  for (int i = 0; i < count; i++) CHECK_EQ(pwrite(fd, &i, sizeof i, blocks[i] * 4096 + 2048), sizeof i);
  for (int i = 0; i < count; i++) {
    int value = -1;
    CHECK_EQ(pread(fd, &value, sizeof value, blocks[i] * 1024), sizeof value);
    CHECK_EQ(value, i);
    CHECK_EQ(pread(fd, &value, sizeof value, blocks[i] * 4096 + 2048), sizeof value);
    CHECK_EQ(value, i);
  }
}

TEST(attributes, "stat tells type, mode less umask, links, size, blocks and owner, the same by every call") {
  const char* path = tap_path("file");
  umask(027);
  int fd = open(path, O_RDWR | O_CREAT, 0777);
  char bytes[5000];
  memset(bytes, 'x', sizeof bytes);
  CHECK_EQ(write(fd, bytes, sizeof bytes), sizeof bytes);
  struct stat by_name, by_descriptor;
  struct statx extended;
  CHECK_EQ(stat(path, &by_name), 0);
  CHECK_EQ(fstat(fd, &by_descriptor), 0);
  CHECK_EQ(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &extended), 0);
  CHECK_EQ(by_name.st_mode, S_IFREG | 0750);
  CHECK_EQ(by_name.st_nlink, 1);
  CHECK_EQ(by_name.st_size, 5000);
  CHECK_EQ(by_name.st_uid, geteuid());
  CHECK(by_name.st_blksize >= 512);
  CHECK_EQ(by_name.st_ino, by_descriptor.st_ino);
  CHECK_EQ(by_name.st_dev, by_descriptor.st_dev);
  CHECK_EQ(extended.stx_ino, by_name.st_ino);
  CHECK_EQ(extended.stx_mode, by_name.st_mode);
  CHECK_EQ(extended.stx_size, 5000);
  CHECK_EQ(chmod(path, 0604), 0);
  CHECK_EQ(fstat(fd, &by_descriptor), 0);
  CHECK_EQ(by_descriptor.st_mode, S_IFREG | 0604);
  CHECK_EQ(stat("/tmp", &by_name), 0);
  CHECK(S_ISDIR(by_name.st_mode));
  CHECK_EQ(stat("/dev/null", &by_name), 0);
  CHECK(S_ISCHR(by_name.st_mode));
  CHECK_ERR(stat(tap_path("missing"), &by_name), ENOENT);
}

TEST(times, "writing sets the modification time, utimensat any time") {
  const char* path = tap_path("file");
  struct stat info;
  close(create_file(path, "x", 1));
  struct timespec old[2] = {{1000000000, 0}, {1100000000, 0}};
  CHECK_EQ(utimensat(AT_FDCWD, path, old, 0), 0);
  CHECK_EQ(stat(path, &info), 0);
  CHECK_EQ(info.st_atime, 1000000000);
  CHECK_EQ(info.st_mtime, 1100000000);
  int fd = open(path, O_WRONLY);
  CHECK_EQ(write(fd, "y", 1), 1);
  CHECK_EQ(fstat(fd, &info), 0);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  CHECK(info.st_mtime != 1100000000 && info.st_mtime <= now.tv_sec + 1);
}

TEST(unlinked_open, "a file without a name lives until its last descriptor is closed") {
  const char* path = tap_path("file");
  int fd = create_file(path, "content", 7);
  CHECK_EQ(unlink(path), 0);
  expect_content(fd, 0, "content");
  CHECK_EQ(pwrite(fd, "CON", 3, 0), 3);
  expect_content(fd, 0, "CONtent");
  struct stat info;
  CHECK_EQ(fstat(fd, &info), 0);
  CHECK_EQ(info.st_nlink, 0);
  CHECK_EQ(close(fd), 0);
  CHECK_ERR(stat(path, &info), ENOENT);
}

TEST(duplicates, "dup, dup2, dup3 and F_DUPFD share the offset and take the number that they should") {
  int fd = create_file(tap_path("file"), "0123456789", 10);
  int copy = CHECK_OK(dup(fd));
  CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
  CHECK_EQ(lseek(copy, 0, SEEK_CUR), 4);
  CHECK_EQ(dup2(fd, 70), 70);
  CHECK_EQ(dup2(fd, fd), fd);
  CHECK_EQ(dup3(fd, 71, O_CLOEXEC), 71);
  CHECK_EQ(fcntl(71, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(fcntl(70, F_GETFD), 0);
  CHECK_ERR(dup3(fd, fd, 0), EINVAL);
  CHECK_ERR(dup(999), EBADF);
  CHECK_ERR(dup2(fd, -1), EBADF);
  CHECK_EQ(fcntl(fd, F_DUPFD, 70), 72);
  CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 70), 73);
  CHECK_EQ(fcntl(73, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
  CHECK_EQ(close(fd), 0);
  CHECK_EQ(lseek(70, 0, SEEK_CUR), 4);
  CHECK_EQ(open("/", O_RDONLY | O_DIRECTORY), fd);  // the lowest free number
}

TEST(descriptor_limit, "open fails with EMFILE at the limit of descriptors and works again below it") {
  struct rlimit limit = {256, 256};
  setrlimit(RLIMIT_NOFILE, &limit);  // where it can be set, so as not to open a million
  int last = -1, first = open("/", O_RDONLY | O_DIRECTORY), fd;
  for (int i = 0; i < 70000 && (fd = open("/", O_RDONLY | O_DIRECTORY)) >= 0; i++) last = fd;
  CHECK_ERR(open("/", O_RDONLY | O_DIRECTORY), EMFILE);
  int ends[2];
  CHECK_ERR(pipe(ends), EMFILE);
  CHECK(last > first);
  CHECK_EQ(close(last), 0);
  CHECK_EQ(open("/", O_RDONLY | O_DIRECTORY), last);
}

TEST(devices, "/dev/null swallows and is empty, /dev/zero is endless zeroes") {
  char bytes[100];
  int null = CHECK_OK(open("/dev/null", O_RDWR)), zero = CHECK_OK(open("/dev/zero", O_RDWR));
  CHECK_EQ(write(null, bytes, 100), 100);
  CHECK_EQ(read(null, bytes, 100), 0);
  memset(bytes, 1, sizeof bytes);
  CHECK_EQ(read(zero, bytes, 100), 100);
  const char zeroes[100] = {0};
  CHECK(memcmp(bytes, zeroes, sizeof zeroes) == 0);
}

TEST(large_transfer, "a megabyte written at once reads back at once and in odd pieces") {
  enum { size = 1 << 20 };
  uint32_t* words = (uint32_t*)map_anonymous(size / page_size);
  char* back = map_anonymous(size / page_size);
  for (uint32_t i = 0; i < size / 4; i++) words[i] = i * 2654435761u;
  int fd = create_file(tap_path("file"), words, size);
  CHECK_EQ(pread(fd, back, size, 0), size);
  CHECK(memcmp(back, words, size) == 0);
  memset(back, 0, size);
  for (size_t at = 0; at < size; at += 3331) {
    size_t n = size - at < 3331 ? size - at : 3331;
    CHECK_EQ(pread(fd, back + at, n, (off_t)at), (ssize_t)n);
  }
  CHECK(memcmp(back, words, size) == 0);
  CHECK_EQ(fsync(fd), 0);
}

TEST(shared_writers, "four processes that append to one file lose no record and tear none") {
  enum { writers = 4, records = 100, length = 64 };
  const char* path = tap_path("file");
  close(create_file(path, "", 0));
  pid_t children[writers];
  for (int w = 0; w < writers; w++) {
    children[w] = tap_fork();
    if (children[w] != 0) continue;
    char record[length];
    memset(record, 'a' + w, sizeof record);
    int fd = open(path, O_WRONLY | O_APPEND);
    for (int i = 0; i < records; i++) CHECK_EQ(write(fd, record, length), length);
    tap_exit();
  }
  for (int w = 0; w < writers; w++) tap_join(children[w]);
  int fd = open(path, O_RDONLY), counts[writers] = {0};
  char record[length];
  while (read(fd, record, length) == length) {
    for (int i = 1; i < length; i++) CHECK_EQ(record[i], record[0]);
    if (record[0] >= 'a' && record[0] < 'a' + writers) counts[record[0] - 'a']++;
  }
  for (int w = 0; w < writers; w++) CHECK_EQ(counts[w], records);
}

TEST(full_disk, "a full disk is ENOSPC, what was written stays, and removing the file makes room again") {
  if (!tap_option("fill")) SKIP("would fill this machine's disk; --fill runs it");
  int fd = create_file(tap_path("file"), "", 0);
  char* bytes = map_anonymous(64);
  off_t written = 0;
  ssize_t n;
  while ((n = write(fd, bytes, 64 * page_size)) > 0) written += n;
  CHECK_EQ(errno, ENOSPC);
  CHECK_EQ(size_of(fd), written);
  CHECK_ERR(write(fd, bytes, page_size), ENOSPC);
  CHECK_ERR(mkdir(tap_path("directory"), 0755), ENOSPC);
  CHECK_EQ(close(fd), 0);
  CHECK_EQ(unlink(tap_path("file")), 0);
  fd = create_file(tap_path("again"), bytes, page_size);
  CHECK_EQ(fsync(fd), 0);
}

static void copy_file(const char* from, const char* to) {
  static char buffer[64 * 1024];
  int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT, 0755);
  REQUIRE(in >= 0 && out >= 0);
  ssize_t n;
  while ((n = read(in, buffer, sizeof buffer)) > 0) REQUIRE(write(out, buffer, n) == n);
  close(in);
  close(out);
}

TEST(text_busy,
     "a file that a program runs from cannot be written, nor one that is open for writing executed") {
  const char* path = tap_path("program");
  copy_file("/bin/sleep", path);
  int executed[2];
  char byte;
  REQUIRE(pipe2(executed, O_CLOEXEC) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    execl(path, "sleep", "60", (char*)NULL);
    _exit(1);
  }
  close(executed[1]);
  REQUIRE(read(executed[0], &byte, 1) == 0);
  CHECK_ERR(open(path, O_WRONLY), ETXTBSY);
  CHECK_ERR(open(path, O_RDONLY | O_TRUNC), ETXTBSY);
  CHECK_ERR(truncate(path, 0), ETXTBSY);
  CHECK_OK(close(open(path, O_RDONLY)));
  CHECK_OK(kill(child, SIGKILL));
  CHECK_EQ(tap_wait(child), SIGKILL);
  int fd = (int)CHECK_OK(open(path, O_RDWR));
  child = tap_fork();
  if (child == 0) {
    CHECK_ERR(execl(path, "sleep", "no number", (char*)NULL), ETXTBSY);
    tap_exit();
  }
  tap_join(child);
  CHECK_OK(close(fd));
}
