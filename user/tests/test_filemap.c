// Mapped files: one page cache behind read, write and every mapping, private copies apart from it.
#include <sched.h>

#include "common/fault.h"
#include "common/memory.h"
#include "common/pages.h"

#define RW (PROT_READ | PROT_WRITE)

static char* map_file(int fd, size_t pages, int protection, int flags, off_t offset) {
  char* at = (char*)mmap(NULL, pages * page_size, protection, flags, fd, offset);
  REQUIRE(at != MAP_FAILED);
  return at;
}

// A file of `pages` pages, page i filled with 'a' + i.
static int make_letters(const char* name, int pages) {
  char letters[page_size];
  int fd = create_file(tap_path(name), "", 0);
  for (int i = 0; i < pages; i++) {
    memset(letters, 'a' + i, sizeof letters);
    REQUIRE(write(fd, letters, sizeof letters) == sizeof letters);
  }
  return fd;
}

static int byte_at(int fd, off_t offset) {
  unsigned char byte;
  return pread(fd, &byte, 1, offset) == 1 ? byte : -1;
}

TEST(tail, "the part of a file's last page behind its end reads as zero in every kind of mapping") {
  int fd = create_file(tap_path("file"), "0123456789", 10);
  for (int kind = 0; kind < 3; kind++) {
    char* at = map_file(fd, 1, kind == 1 ? RW : PROT_READ, kind == 2 ? MAP_SHARED : MAP_PRIVATE, 0);
    CHECK(memcmp(at, "0123456789", 10) == 0);
    if (kind == 1) at[0] = 'x';
    for (int i = 10; i < page_size; i++)
      if (at[i] != 0) {
        FAIL("mapping %d byte %d is %d", kind, i, at[i]);
        break;
      }
  }
}

TEST(tail_not_written, "what a shared mapping holds behind the end of the file never becomes part of it") {
  int fd = create_file(tap_path("file"), "0123456789", 10);
  char* at = map_file(fd, 1, RW, MAP_SHARED, 0);
  memset(at + 10, 'x', 100);
  CHECK_EQ(msync(at, page_size, MS_SYNC), 0);
  struct stat info;
  CHECK_EQ(fstat(fd, &info), 0);
  CHECK_EQ(info.st_size, 10);
  munmap(at, page_size);
  CHECK_EQ(byte_at(fd, 10), -1);
}

TEST(private_write, "a private write is in the mapping and not in the file, nor in other mappings of it") {
  int fd = make_letters("file", 2);
  char* mine = map_file(fd, 2, RW, MAP_PRIVATE, 0);
  char* other = map_file(fd, 2, RW, MAP_PRIVATE, 0);
  char* shared = map_file(fd, 2, PROT_READ, MAP_SHARED, 0);
  mine[0] = 'X';
  CHECK_EQ(mine[0], 'X');
  CHECK_EQ(mine[1], 'a');
  CHECK_EQ(mine[page_size], 'b');
  CHECK_EQ(other[0], 'a');
  CHECK_EQ(shared[0], 'a');
  CHECK_EQ(byte_at(fd, 0), 'a');
  munmap(mine, 2 * page_size);
  CHECK_EQ(byte_at(fd, 0), 'a');
}

TEST(shared_write, "a shared write is at once in other mappings and in read, and in the file after msync") {
  int fd = make_letters("file", 2);
  char* first = map_file(fd, 2, RW, MAP_SHARED, 0);
  char* second = map_file(fd, 1, PROT_READ, MAP_SHARED, page_size);
  char* private_view = map_file(fd, 2, PROT_READ, MAP_PRIVATE, 0);
  CHECK_EQ(second[5], 'b');
  first[page_size + 5] = 'X';
  CHECK_EQ(second[5], 'X');
  // Whether a private page that nobody wrote follows the file is left open; a pager that loads in mmap has
  // copied it.
  if (!tap_loads_in_mmap()) CHECK_EQ(private_view[page_size + 5], 'X');
  CHECK_EQ(byte_at(fd, page_size + 5), 'X');
  CHECK_EQ(msync(first, 2 * page_size, MS_SYNC), 0);
  int again = open(tap_path("file"), O_RDONLY);
  CHECK_EQ(byte_at(again, page_size + 5), 'X');
}

TEST(write_seen, "what write puts into a file is at once in its shared mappings, touched before or not") {
  int fd = make_letters("file", 3);
  char* at = map_file(fd, 3, RW, MAP_SHARED, 0);
  CHECK_EQ(at[page_size - 1], 'a');
  CHECK_EQ(pwrite(fd, "0123", 4, page_size - 2), 4);
  CHECK(memcmp(at + page_size - 2, "0123", 4) == 0);
  at[page_size + 1] = '!';
  CHECK_EQ(pwrite(fd, "?", 1, page_size + 2), 1);
  CHECK(memcmp(at + page_size - 2, "012!?", 5) == 0);
}

TEST(unmap_keeps, "shared writes stay in the file when the mapping is gone without msync") {
  int fd = make_letters("file", 1);
  char* at = map_file(fd, 1, RW, MAP_SHARED, 0);
  at[7] = 'X';
  munmap(at, page_size);
  CHECK_EQ(byte_at(fd, 7), 'X');
  pid_t child = tap_fork();
  if (child == 0) {
    map_file(fd, 1, RW, MAP_SHARED, 0)[8] = 'Y';
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(byte_at(fd, 8), 'Y');
}

TEST(offset, "a mapping at an offset shows the file from there") {
  int fd = make_letters("file", 8);
  char* at = map_file(fd, 2, RW, MAP_SHARED, 5 * page_size);
  CHECK_EQ(at[0], 'f');
  CHECK_EQ(at[page_size], 'g');
  at[page_size] = 'X';
  CHECK_EQ(byte_at(fd, 6 * page_size), 'X');
  char* split = map_file(fd, 8, RW, MAP_PRIVATE, 0);
  REQUIRE(munmap(split + 2 * page_size, page_size) == 0);
  REQUIRE(mprotect(split + 4 * page_size, page_size, PROT_READ) == 0);
  CHECK_EQ(split[3 * page_size], 'd');
  CHECK_EQ(split[4 * page_size], 'e');
  CHECK_EQ(split[7 * page_size], 'h');
}

TEST(moved_offset, "a part of a file mapping that mremap moves still shows its own part of the file") {
  int fd = make_letters("file", 8);
  char* at = map_file(fd, 8, PROT_READ, MAP_PRIVATE, 0);
  char* target = map_anonymous(4);
  char* moved =
      (char*)mremap(at + 3 * page_size, 2 * page_size, 4 * page_size, MREMAP_MAYMOVE | MREMAP_FIXED, target);
  REQUIRE(moved == target);
  for (int i = 0; i < 4; i++) CHECK_EQ(moved[i * page_size], 'd' + i);
}

TEST(truncated, "an access to mapped pages that the file lost is SIGBUS, the rest stays, its new tail zero") {
  fault_catch();
  int fd = make_letters("file", 4);
  char* shared = map_file(fd, 4, RW, MAP_SHARED, 0);
  char* copied = map_file(fd, 4, RW, MAP_PRIVATE, 0);
  for (int i = 0; i < 4; i++) CHECK_EQ(shared[i * page_size], copied[i * page_size]);
  copied[1] = 'P';
  CHECK_EQ(ftruncate(fd, page_size + 100), 0);
  for (int i = 2; i < 4; i++) {
    CHECK_FAULT(access_read, shared + i * page_size, SIGBUS, BUS_ADRERR);
    CHECK_FAULT(access_read, copied + i * page_size, SIGBUS, BUS_ADRERR);
  }
  CHECK_EQ(shared[page_size + 99], 'b');
  CHECK_EQ(shared[page_size + 100], 0);
  CHECK_EQ(copied[1], 'P');
  CHECK_EQ(ftruncate(fd, 4 * page_size), 0);
  CHECK_EQ(shared[2 * page_size], 0);
  CHECK_EQ(shared[page_size + 200], 0);
}

TEST(grown, "pages that a file gains are there in a mapping made before") {
  fault_catch();
  int fd = make_letters("file", 1);
  char* at = map_file(fd, 3, RW, MAP_SHARED, 0);
  CHECK_FAULT(access_read, at + page_size, SIGBUS, BUS_ADRERR);
  CHECK_EQ(pwrite(fd, "new", 3, 2 * page_size), 3);
  CHECK_EQ(at[page_size], 0);
  CHECK_EQ(at[2 * page_size], 'n');
  at[page_size] = 'X';
  CHECK_EQ(byte_at(fd, page_size), 'X');
}

TEST(hole, "a hole of a sparse file is zero in a mapping and a write there becomes part of the file") {
  int fd = create_file(tap_path("file"), "", 0);
  CHECK_EQ(pwrite(fd, "end", 3, 64 * page_size), 3);
  char* at = map_file(fd, 65, RW, MAP_SHARED, 0);
  for (int i = 0; i < 64; i += 7) CHECK_EQ(at[i * page_size], 0);
  at[33 * page_size + 9] = 'X';
  CHECK_EQ(msync(at, 65 * page_size, MS_SYNC), 0);
  CHECK_EQ(byte_at(fd, 33 * page_size + 9), 'X');
  CHECK_EQ(byte_at(fd, 34 * page_size), 0);
}

TEST(closed_and_unlinked, "a mapping outlives the descriptor and the name of its file") {
  const char* path = tap_path("file");
  int fd = make_letters("file", 4);
  char* at = map_file(fd, 4, RW, MAP_SHARED, 0);
  CHECK_EQ(at[0], 'a');
  close(fd);
  CHECK_EQ(unlink(path), 0);
  CHECK_ERR(open(path, O_RDONLY), ENOENT);
  CHECK_EQ(at[3 * page_size], 'd');
  at[2 * page_size] = 'X';
  CHECK_EQ(at[2 * page_size], 'X');
  CHECK_EQ(msync(at, 4 * page_size, MS_SYNC), 0);
  CHECK_EQ(munmap(at, 4 * page_size), 0);
}

TEST(two_processes, "two processes that map a file by themselves see each other's writes") {
  int fd = make_letters("file", 1);
  char path[160];
  snprintf(path, sizeof path, "%s", tap_path("file"));
  close(fd);
  enum { rounds = 200 };
  pid_t child = tap_fork();
  fd = open(path, O_RDWR);
  volatile int* turn = (volatile int*)map_file(fd, 1, RW, MAP_SHARED, 0);
  int mine = child == 0;
  __atomic_compare_exchange_n(turn, &(int){0x61616161}, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  for (int i = 0; i < rounds; i++) {
    while (__atomic_load_n(turn, __ATOMIC_ACQUIRE) != 2 * i + mine) sched_yield();
    __atomic_store_n(turn, 2 * i + mine + 1, __ATOMIC_RELEASE);
  }
  if (child == 0) tap_exit();
  tap_join(child);
  CHECK_EQ(*turn, 2 * rounds);
}

TEST(private_sees_until_written,
     "a private mapping keeps its own copy of a page once written, whatever the file does") {
  int fd = make_letters("file", 2);
  char* at = map_file(fd, 2, RW, MAP_PRIVATE, 0);
  at[0] = 'P';
  CHECK_EQ(pwrite(fd, "zz", 2, 0), 2);
  CHECK_EQ(at[0], 'P');
  CHECK_EQ(at[1], 'a');
  CHECK_EQ(byte_at(fd, 0), 'z');
}

TEST(system_call_into, "read into a shared file mapping changes the mapped file") {
  int target = make_letters("target", 1), source = create_file(tap_path("source"), "source", 6);
  char* at = map_file(target, 1, RW, MAP_SHARED, 0);
  CHECK_EQ(pread(source, at + 10, 6, 0), 6);
  CHECK_EQ(byte_at(target, 10), 's');
  CHECK_EQ(pwrite(target, at + 10, 6, 100), 6);
  CHECK_EQ(at[105], 'e');
  CHECK_EQ(pread(target, at + 2000, 100, 0), 100);  // the same page as source and target
  CHECK_EQ(at[2000], 'a');
  CHECK_EQ(at[2010], 's');
}

// A minimal program: #! and a path, executed for its exit status.
static int run_script(const char* path) {
  pid_t child = tap_fork();
  if (child == 0) {
    execl(path, path, (char*)NULL);
    _exit(99);
  }
  int status = tap_wait(child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(executed, "a file written through a mapping is executed as written, and again after it is rewritten") {
  const char* path = tap_path("script");
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0755);
  REQUIRE(fd >= 0 && ftruncate(fd, 12) == 0);
  char* at = map_file(fd, 1, RW, MAP_SHARED, 0);
  memcpy(at, "#!/bin/true\n", 12);
  CHECK_EQ(msync(at, page_size, MS_SYNC), 0);
  munmap(at, page_size);
  close(fd);
  CHECK_EQ(run_script(path), 0);
  fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
  CHECK_EQ(write(fd, "#!/bin/false\n", 13), 13);
  close(fd);
  CHECK_EQ(run_script(path), 1);
}

TEST(many_files, "40 files mapped at once keep their pages apart") {
  enum { files = 40 };
  char* at[files];
  char name[16];
  for (int i = 0; i < files; i++) {
    snprintf(name, sizeof name, "file%d", i);
    int fd = create_file(tap_path(name), "", 0);
    REQUIRE(ftruncate(fd, 2 * page_size) == 0);
    at[i] = map_file(fd, 2, RW, MAP_SHARED, 0);
    at[i][page_size] = (char)i;
    close(fd);
  }
  for (int i = 0; i < files; i++) {
    snprintf(name, sizeof name, "file%d", i);
    int fd = open(tap_path(name), O_RDONLY);
    CHECK_EQ(byte_at(fd, page_size), i);
    close(fd);
    CHECK_EQ(at[i][page_size], i);
  }
}

static long pages_read(void) {
  char text[8192];
  read_proc_text("/proc/vmstat", text, sizeof text);
  return line_value(text, "page_cache_read ");
}

TEST(dropped, "a file dropped from the caches is read again from the disk, and no change to it is lost") {
  if (!tap_on_faultline()) SKIP("other programs' caches would go with this one's");
  enum { pages = 16 };
  int fd = make_letters("file", pages);
  char* mapped = map_file(fd, 1, PROT_READ, MAP_SHARED, 0);
  CHECK_EQ(mapped[0], 'a');
  drop_caches();
  CHECK_EQ(pwrite(fd, "new", 3, page_size), 3);
  int other = make_letters("other", 1);
  CHECK_EQ(write(open("/proc/sys/vm/drop_caches", O_WRONLY), "1", 1), 1);
  CHECK_EQ(mapped[1], 'a');
  CHECK_EQ(byte_at(fd, page_size), 'n');
  CHECK_EQ(byte_at(other, 0), 'a');
  long before = pages_read();
  for (int i = 2; i < pages; i++) CHECK_EQ(byte_at(fd, (off_t)i * page_size + 1), 'a' + i);
  CHECK(pages_read() - before >= pages - 2);
}

TEST(dropped_nonsense, "only 1, 2 and 3 say which caches to drop") {
  if (!tap_on_faultline()) SKIP("may not be written here");
  static const char* const nonsense[] = {"", "0", "4", "-1", "x", "3x", "33333333333333333333333", "1 2"};
  int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
  for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++)
    if (write(fd, nonsense[i], strlen(nonsense[i]) + 1) >= 0 || errno != EINVAL) FAIL("\"%s\"", nonsense[i]);
  CHECK_ERR(read(fd, (char[1]){0}, 1), EBADF);
  CHECK_ERR(open("/proc/sys/vm/drop_cache", O_WRONLY), ENOENT);
  CHECK_EQ(write(fd, " 1\n", 3), 3);
}
