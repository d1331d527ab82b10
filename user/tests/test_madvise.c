// madvise, mlock and mincore as Linux defines them: what becomes of holes, of locked memory, and over fork.
#include "common/fault.h"
#include "common/pages.h"

#define RW (PROT_READ | PROT_WRITE)

static long status_kilobytes(const char* key) {
  char line[200];
  long value = -1;
  FILE* file = fopen("/proc/self/status", "r");
  REQUIRE(file != NULL);
  while (fgets(line, sizeof line, file))
    if (strncmp(line, key, strlen(key)) == 0) value = strtol(line + strlen(key) + 1, NULL, 10);
  fclose(file);
  return value;
}

// Runs `check` in a child, which reports by its exit status.
static int in_child(int (*check)(char*), char* area) {
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(check(area));
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(holes, "advice over a range with a hole is given to what is mapped, and the hole is ENOMEM") {
  if (tap_emulated()) SKIP("this emulator gives most advice to nobody");
  char* area = map_anonymous(4);
  REQUIRE(munmap(area + 2 * page_size, page_size) == 0);
  static const int advices[] = {MADV_NORMAL,   MADV_RANDOM, MADV_SEQUENTIAL,
                                MADV_WILLNEED, MADV_FREE,   MADV_DONTNEED};
  for (size_t i = 0; i < sizeof advices / sizeof *advices; i++) {
    CHECK_ERR(madvise(area, 4 * page_size, advices[i]), ENOMEM);
    CHECK_EQ(madvise(area, 2 * page_size, advices[i]), 0);
  }
  area[0] = area[3 * page_size] = 1;
  CHECK_ERR(madvise(area, 4 * page_size, MADV_DONTNEED), ENOMEM);
  CHECK_EQ(area[0], 0);
  CHECK_EQ(area[3 * page_size], 0);
}

TEST(free_files, "MADV_FREE is for private anonymous memory only") {
  if (tap_emulated()) SKIP("this emulator gives most advice to nobody");
  int fd = create_file(tap_path("file"), "x", 1);
  char* shared = (char*)mmap(NULL, page_size, RW, MAP_SHARED, fd, 0);
  char* private = (char*)mmap(NULL, page_size, RW, MAP_PRIVATE, fd, 0);
  REQUIRE(shared != MAP_FAILED && private != MAP_FAILED);
  CHECK_ERR(madvise(shared, page_size, MADV_FREE), EINVAL);
  CHECK_ERR(madvise(private, page_size, MADV_FREE), EINVAL);
  CHECK_ERR(madvise(map_shared(1), page_size, MADV_FREE), EINVAL);
  CHECK_EQ(madvise(map_anonymous(1), page_size, MADV_FREE), 0);
}

TEST(locked_stays, "locked memory is not dropped: what lies below it is, then EINVAL") {
  if (tap_emulated()) SKIP("this emulator does not know what is locked");
  char* area = map_anonymous(3);
  for (int i = 0; i < 3; i++) area[i * page_size] = 'a';
  REQUIRE(mlock(area + page_size, page_size) == 0);
  CHECK_ERR(madvise(area, 3 * page_size, MADV_DONTNEED), EINVAL);
  CHECK_EQ(area[0], 0);
  CHECK_EQ(area[page_size], 'a');
  CHECK_EQ(area[2 * page_size], 'a');
  CHECK_ERR(madvise(area + page_size, page_size, MADV_FREE), EINVAL);
  REQUIRE(munlock(area, 3 * page_size) == 0);
  CHECK_EQ(madvise(area, 3 * page_size, MADV_DONTNEED), 0);
  CHECK_EQ(area[page_size], 0);
}

static int locked_in_child(char* area) {
  (void)area;
  return status_kilobytes("VmLck:") == 0 ? 0 : 1;
}

TEST(locked_counts, "VmLck counts locked pages once; a child has none; MAP_LOCKED and MCL_FUTURE lock too") {
  if (tap_emulated()) SKIP("the status is the emulator's");
  CHECK_EQ(status_kilobytes("VmLck:"), 0);
  char* area = map_anonymous(16);
  REQUIRE(mlock(area, 16 * page_size) == 0);
  CHECK_EQ(status_kilobytes("VmLck:"), 64);
  REQUIRE(mlock(area + page_size, 4 * page_size) == 0);
  CHECK_EQ(status_kilobytes("VmLck:"), 64);
  CHECK_EQ(in_child(locked_in_child, area), 0);
  REQUIRE(munlock(area + page_size + 1, 1) == 0);
  CHECK_EQ(status_kilobytes("VmLck:"), 60);
  REQUIRE(munmap(area, 16 * page_size) == 0);
  CHECK_EQ(status_kilobytes("VmLck:"), 0);
  map_pages(2, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED);
  CHECK_EQ(status_kilobytes("VmLck:"), 8);
  REQUIRE(mlockall(MCL_FUTURE) == 0);
  area = map_pages(2, RW, MAP_PRIVATE | MAP_ANONYMOUS);
  CHECK_EQ(status_kilobytes("VmLck:"), 16);
  REQUIRE(munlockall() == 0);
  CHECK_EQ(status_kilobytes("VmLck:"), 0);
  map_pages(2, RW, MAP_PRIVATE | MAP_ANONYMOUS);
  CHECK_EQ(status_kilobytes("VmLck:"), 0);
}

TEST(lock_holes, "mlock over a hole locks what is mapped and is ENOMEM") {
  if (tap_emulated()) SKIP("the status is the emulator's");
  char* area = map_anonymous(3);
  REQUIRE(munmap(area + page_size, page_size) == 0);
  CHECK_ERR(mlock(area, 3 * page_size), ENOMEM);
  REQUIRE(munmap(area, 3 * page_size) == 0);
  CHECK_ERR(munlock(area, page_size), ENOMEM);
}

TEST(invalidate_locked, "msync with MS_INVALIDATE of locked pages is EBUSY") {
  if (tap_emulated()) SKIP("this emulator does not know what is locked");
  int fd = create_file(tap_path("file"), "x", 1);
  char* file = (char*)mmap(NULL, page_size, RW, MAP_SHARED, fd, 0);
  REQUIRE(file != MAP_FAILED);
  CHECK_EQ(msync(file, page_size, MS_INVALIDATE | MS_ASYNC), 0);
  REQUIRE(mlock(file, page_size) == 0);
  CHECK_ERR(msync(file, page_size, MS_INVALIDATE | MS_ASYNC), EBUSY);
  CHECK_EQ(msync(file, page_size, MS_ASYNC), 0);
}

TEST(sync_holes, "msync over a hole writes what is mapped and is ENOMEM") {
  if (tap_emulated()) SKIP("this emulator stops at the hole");
  static char bytes[3 * page_size];
  int fd = create_file(tap_path("file"), bytes, sizeof bytes);
  char* file = (char*)mmap(NULL, sizeof bytes, RW, MAP_SHARED, fd, 0);
  REQUIRE(file != MAP_FAILED);
  REQUIRE(munmap(file + page_size, page_size) == 0);
  CHECK_ERR(msync(file, sizeof bytes, MS_SYNC), ENOMEM);
  CHECK_EQ(msync(file + page_size, 0, MS_SYNC), 0);
}

static int without_second(char* area) {
  fault_catch();
  if (fault_of(access_read, area + page_size).signal != SIGSEGV) return 1;
  return area[0] == 'a' && area[2 * page_size] == 'c' ? 0 : 2;
}

static int with_second(char* area) { return area[page_size] == 'b' ? 0 : 1; }

TEST(not_forked, "MADV_DONTFORK keeps pages from children, until MADV_DOFORK") {
  if (tap_emulated()) SKIP("this emulator forks all of its memory");
  char* area = map_anonymous(3);
  for (int i = 0; i < 3; i++) area[i * page_size] = (char)('a' + i);
  REQUIRE(madvise(area + page_size, page_size, MADV_DONTFORK) == 0);
  CHECK_EQ(in_child(without_second, area), 0);
  CHECK_EQ(area[page_size], 'b');
  REQUIRE(madvise(area + page_size, page_size, MADV_DOFORK) == 0);
  CHECK_EQ(in_child(with_second, area), 0);
}

static int wiped_second(char* area) {
  if (area[page_size] != 0) return 1;
  area[page_size] = 'x';
  return area[0] == 'a' && area[2 * page_size] == 'c' ? 0 : 2;
}

static int wiped_grandchild(char* area) {
  int first = wiped_second(area);
  return first != 0 ? first : in_child(wiped_second, area);
}

TEST(wiped, "MADV_WIPEONFORK gives children, and theirs, zeroes, until MADV_KEEPONFORK") {
  if (tap_emulated()) SKIP("this emulator forks all of its memory");
  char* area = map_anonymous(3);
  for (int i = 0; i < 3; i++) area[i * page_size] = (char)('a' + i);
  REQUIRE(madvise(area + page_size, page_size, MADV_WIPEONFORK) == 0);
  CHECK_EQ(in_child(wiped_grandchild, area), 0);
  CHECK_EQ(area[page_size], 'b');
  REQUIRE(madvise(area + page_size, page_size, MADV_KEEPONFORK) == 0);
  CHECK_EQ(in_child(with_second, area), 0);
  CHECK_ERR(madvise(map_shared(1), page_size, MADV_WIPEONFORK), EINVAL);
}

TEST(fork_flags_large, "both hold in memory so large that fork shares its page tables") {
  if (tap_emulated()) SKIP("this emulator forks all of its memory");
  enum { pages = 1536, middle = 768 };
  char* area = map_anonymous(pages);
  for (int i = 0; i < pages; i++) area[i * page_size] = 'p';
  char* second = area + middle * page_size;
  second[-page_size] = 'a', second[0] = 'b', second[page_size] = 'c';
  REQUIRE(madvise(second, page_size, MADV_WIPEONFORK) == 0);
  CHECK_EQ(in_child(wiped_second, second - page_size), 0);
  REQUIRE(madvise(second, page_size, MADV_KEEPONFORK) == 0);
  REQUIRE(madvise(second, page_size, MADV_DONTFORK) == 0);
  CHECK_EQ(in_child(without_second, second - page_size), 0);
  CHECK_EQ(second[0], 'b');
}

TEST(cached_elsewhere, "mincore says of a file's page whether it is in memory, whoever brought it there") {
  if (tap_emulated()) SKIP("this emulator says that all is there");
  static char bytes[4 * page_size];
  int fd = create_file(tap_path("file"), bytes, sizeof bytes);
  char* file = (char*)mmap(NULL, sizeof bytes, RW, MAP_SHARED, fd, 0);
  REQUIRE(file != MAP_FAILED);
  unsigned char present[4] = {0};
  REQUIRE(mincore(file, sizeof bytes, present) == 0);
  for (int i = 0; i < 4; i++) CHECK_EQ(present[i] & 1, 1);
  if (tap_loads_in_mmap() || tap_may_load_neighbours()) return;
  char* untouched = map_anonymous(2);
  untouched[0] = 1;
  REQUIRE(mincore(untouched, 2 * page_size, present) == 0);
  CHECK_EQ(present[0] & 1, 1);
  CHECK_EQ(present[1] & 1, 0);
}

TEST(remove_errors, "MADV_REMOVE is EINVAL for anonymous memory, EACCES where the file may not be written") {
  if (tap_emulated()) SKIP("this emulator gives most advice to nobody");
  int fd = create_file(tap_path("file"), "x", 1);
  char* private = (char*)mmap(NULL, page_size, RW, MAP_PRIVATE, fd, 0);
  REQUIRE(private != MAP_FAILED);
  CHECK_ERR(madvise(private, page_size, MADV_REMOVE), EACCES);
  CHECK_ERR(madvise(map_anonymous(1), page_size, MADV_REMOVE), EINVAL);
}
