// mmap, munmap, mprotect, mremap, madvise, brk and msync as Linux defines them: what they do and every error.
#include <sys/syscall.h>

#include "common/fault.h"
#include "common/pages.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)

static char* map_fixed(char* at, size_t pages, int protection) {
  return (char*)mmap(at, pages * page_size, protection, ANONYMOUS | MAP_FIXED, -1, 0);
}

// Page i of a fresh area holds 'a' + i.
static char* map_letters(size_t pages) {
  char* area = map_anonymous(pages);
  for (size_t i = 0; i < pages; i++) area[i * page_size] = (char)('a' + i);
  return area;
}

TEST(map_errors,
     "mmap refuses no length, no kind, a bad offset or address, and a range that does not exist") {
  CHECK_ERR(mmap(NULL, 0, RW, ANONYMOUS, -1, 0), EINVAL);
  CHECK_ERR(mmap(NULL, page_size, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
  CHECK_ERR(mmap((void*)(page_size * 1000 + 1), page_size, RW, ANONYMOUS | MAP_FIXED, -1, 0), EINVAL);
  CHECK_ERR(mmap(NULL, (size_t)1 << 50, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0), ENOMEM);
  CHECK_ERR(mmap(NULL, SIZE_MAX - page_size, RW, ANONYMOUS, -1, 0), ENOMEM);
  CHECK_ERR(mmap((void*)0x7ffffffffffff000ul, page_size, RW, ANONYMOUS | MAP_FIXED, -1, 0), ENOMEM);
#ifdef __riscv
  if (!tap_emulated())
    CHECK_ERR(mmap((void*)0xffffffc000000000ul, page_size, RW, ANONYMOUS | MAP_FIXED, -1, 0), ENOMEM);
#endif
}

TEST(map_file_errors,
     "mmap refuses a bad, a write-only or a read-only descriptor where it must be read or written") {
  const char* path = tap_path("file");
  int both = create_file(path, "x", 1), only_write = open(path, O_WRONLY), only_read = open(path, O_RDONLY);
  CHECK_ERR(mmap(NULL, page_size, PROT_READ, MAP_PRIVATE, 999, 0), EBADF);
  CHECK_ERR(mmap(NULL, page_size, PROT_READ, MAP_PRIVATE, both, 100), EINVAL);
  CHECK_ERR(mmap(NULL, page_size, PROT_READ, MAP_PRIVATE, only_write, 0), EACCES);
  CHECK_ERR(mmap(NULL, page_size, PROT_WRITE, MAP_SHARED, only_write, 0), EACCES);
  CHECK_ERR(mmap(NULL, page_size, RW, MAP_SHARED, only_read, 0), EACCES);
  CHECK_OK(mmap(NULL, page_size, RW, MAP_PRIVATE, only_read, 0));
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  CHECK_ERR(mmap(NULL, page_size, PROT_READ, MAP_PRIVATE, ends[0], 0), ENODEV);
  CHECK_ERR(mmap(NULL, page_size, PROT_READ, MAP_PRIVATE, open("/", O_RDONLY | O_DIRECTORY), 0), ENODEV);
  char* shared = (char*)mmap(NULL, page_size, PROT_READ, MAP_SHARED, only_read, 0);
  REQUIRE(shared != MAP_FAILED);
  CHECK_ERR(mprotect(shared, page_size, RW), EACCES);
}

TEST(no_replace, "MAP_FIXED_NOREPLACE fails with EEXIST on any overlap and takes a free range exactly") {
  if (tap_emulated()) SKIP("this emulator takes the address for a hint");
  char* area = map_letters(4);
  int flags = ANONYMOUS | MAP_FIXED_NOREPLACE;
  CHECK_ERR(mmap(area + page_size, page_size, RW, flags, -1, 0), EEXIST);
  CHECK_EQ(area[page_size], 'b');
  REQUIRE(munmap(area + page_size, 2 * page_size) == 0);
  CHECK_ERR(mmap(area + page_size, 3 * page_size, RW, flags, -1, 0), EEXIST);
  CHECK_ERR(mmap(area, 2 * page_size, RW, flags, -1, 0), EEXIST);
  CHECK(mmap(area + page_size, 2 * page_size, RW, flags, -1, 0) == area + page_size);
  CHECK_EQ(area[page_size], 0);
  CHECK_EQ(area[3 * page_size], 'd');
}

TEST(hint, "a free hint is taken, a hint that overlaps is not and nothing there is touched") {
  char* area = map_letters(4);
  REQUIRE(munmap(area + page_size, page_size) == 0);
  CHECK(mmap(area + page_size, page_size, RW, ANONYMOUS, -1, 0) == area + page_size);
  char* elsewhere = (char*)mmap(area, 2 * page_size, RW, ANONYMOUS, -1, 0);
  REQUIRE(elsewhere != MAP_FAILED);
  CHECK(elsewhere + 2 * page_size <= area || elsewhere >= area + 4 * page_size);
  CHECK_EQ(area[0], 'a');
}

TEST(fixed_replaces, "MAP_FIXED replaces what it covers, parts of several areas, and nothing else") {
  char* area = map_letters(8);
  REQUIRE(mprotect(area + 4 * page_size, 4 * page_size, PROT_READ) == 0);
  CHECK(map_fixed(area + 2 * page_size, 4, RW) == area + 2 * page_size);
  for (int i = 0; i < 8; i++) CHECK_EQ(area[i * page_size], i >= 2 && i < 6 ? 0 : 'a' + i);
  fault_catch();
  CHECK_NO_FAULT(access_write, area + 5 * page_size);
  CHECK_FAULT(access_write, area + 6 * page_size, SIGSEGV, SEGV_ACCERR);
}

TEST(unmap_errors, "munmap refuses an unaligned address and no length, and accepts holes") {
  char* area = map_letters(3);
  CHECK_ERR(munmap(area + 1, page_size), EINVAL);
  CHECK_ERR(munmap(area, 0), EINVAL);
  CHECK_ERR(munmap(area, SIZE_MAX - page_size), EINVAL);
  CHECK_EQ(area[0], 'a');
  CHECK_EQ(munmap(area + page_size, 1), 0);
  CHECK_EQ(munmap(area, 3 * page_size), 0);
  CHECK_EQ(munmap(area, 3 * page_size), 0);
}

TEST(unmap_splits, "munmap of the middle leaves both ends as they were and a hole between") {
  fault_catch();
  char* area = map_letters(5);
  CHECK_EQ(munmap(area + 2 * page_size, page_size), 0);
  CHECK_FAULT(access_read, area + 2 * page_size, SIGSEGV, SEGV_MAPERR);
  for (int i = 0; i < 5; i++)
    if (i != 2) CHECK_EQ(area[i * page_size], 'a' + i);
  CHECK_EQ(munmap(area, 5 * page_size), 0);
  for (int i = 0; i < 5; i++) CHECK_FAULT(access_read, area + i * page_size, SIGSEGV, SEGV_MAPERR);
}

// The rights that /proc/self/maps shows for the area that begins at an address.
static void expect_rights(const char* start, const char* want) {
  FILE* maps = fopen("/proc/self/maps", "r");
  REQUIRE(maps);
  char line[256], rights[8] = "-";
  while (fgets(line, sizeof line, maps))
    if (strtoul(line, NULL, 16) == (unsigned long)start) sscanf(line, "%*s %7s", rights);
  fclose(maps);
  if (strcmp(rights, want) != 0) FAIL("/proc/self/maps shows %s, expected %s", rights, want);
}

TEST(write_only, "memory that is to be written only can be read as well, but maps shows what was asked for") {
  char* area = map_pages(3, PROT_WRITE, ANONYMOUS);
  area[0] = 'w';
  CHECK_EQ(area[0], 'w');
  CHECK_EQ(area[page_size], 0);
  expect_rights(area, "-w-p");
  CHECK_OK(mprotect(area, page_size, PROT_READ | PROT_WRITE));
  expect_rights(area, "rw-p");
  expect_rights(area + page_size, "-w-p");
  CHECK_OK(mprotect(area + page_size, page_size, PROT_READ));
  expect_rights(area + page_size, "r--p");
  CHECK_OK(mprotect(area + page_size, page_size, PROT_WRITE));
  pid_t child = tap_fork();
  if (child == 0) {
    expect_rights(area + page_size, "-w-p");
    tap_exit();
  }
  tap_join(child);
  expect_rights(area, "rw-p");
}

TEST(protect_errors, "mprotect refuses an unaligned address and unknown bits, and a hole is ENOMEM") {
  char* area = map_letters(3);
  CHECK_ERR(mprotect(area + 1, page_size, PROT_READ), EINVAL);
  CHECK_ERR(mprotect(area, page_size, 0x40), EINVAL);
  if (!tap_emulated()) CHECK_EQ(mprotect(area, 0, PROT_READ), 0);
  REQUIRE(munmap(area + page_size, page_size) == 0);
  CHECK_ERR(mprotect(area, 3 * page_size, PROT_READ), ENOMEM);
  CHECK_ERR(mprotect(area + page_size, page_size, PROT_READ), ENOMEM);
}

TEST(protect_splits, "mprotect of the middle changes just that, and back again, whatever areas that makes") {
  fault_catch();
  char* area = map_letters(5);
  CHECK_EQ(mprotect(area + page_size, 3 * page_size, PROT_READ), 0);
  CHECK_EQ(mprotect(area + 2 * page_size, page_size, PROT_NONE), 0);
  CHECK_NO_FAULT(access_write, area + 100);
  CHECK_FAULT(access_write, area + page_size, SIGSEGV, SEGV_ACCERR);
  CHECK_FAULT(access_read, area + 2 * page_size, SIGSEGV, SEGV_ACCERR);
  CHECK_NO_FAULT(access_write, area + 4 * page_size + 100);
  CHECK_EQ(mprotect(area, 5 * page_size, RW), 0);
  for (int i = 0; i < 5; i++) {
    CHECK_EQ(area[i * page_size], 'a' + i);
    CHECK_NO_FAULT(access_write, area + i * page_size);
  }
}

TEST(adjacent, "areas mapped side by side serve accesses, mprotect and munmap as one") {
  char* area = map_anonymous(4);
  for (int i = 3; i >= 0; i--) CHECK(map_fixed(area + i * page_size, 1, RW) == area + i * page_size);
  memset(area + 10, 'x', 3 * page_size);
  CHECK_EQ(area[9 + 3 * page_size], 'x');
  CHECK_EQ(mprotect(area, 4 * page_size, PROT_READ), 0);
  CHECK_EQ(area[10], 'x');
  CHECK_EQ(munmap(area, 4 * page_size), 0);
}

TEST(remap_errors, "mremap refuses unaligned and empty ranges, bad flags, overlap, holes and no room") {
  char* area = map_letters(4);
  CHECK_ERR(mremap(area + 1, page_size, page_size, MREMAP_MAYMOVE), EINVAL);
  if (!tap_emulated()) CHECK_ERR(mremap(area, page_size, 0, MREMAP_MAYMOVE), EINVAL);
  CHECK_ERR(mremap(area, page_size, page_size, 0x100), EINVAL);
  CHECK_ERR(mremap(area, page_size, page_size, MREMAP_FIXED, area + 2 * page_size), EINVAL);
  int both = MREMAP_MAYMOVE | MREMAP_FIXED;
  CHECK_ERR(mremap(area, 2 * page_size, 2 * page_size, both, area + page_size), EINVAL);
  CHECK_ERR(mremap(area, page_size, page_size, both, area + 2 * page_size + 5), EINVAL);
  CHECK_ERR(mremap(area, page_size, 2 * page_size, 0), ENOMEM);
  REQUIRE(munmap(area + 3 * page_size, page_size) == 0);
  CHECK_ERR(mremap(area + 3 * page_size, page_size, 2 * page_size, MREMAP_MAYMOVE), EFAULT);
  CHECK_EQ(area[0], 'a');
}

TEST(remap_sizes, "mremap shrinks and grows in place, the new part zero") {
  fault_catch();
  char* area = map_letters(6);
  CHECK(mremap(area, 6 * page_size, 2 * page_size, 0) == area);
  CHECK_FAULT(access_read, area + 2 * page_size, SIGSEGV, SEGV_MAPERR);
  CHECK_EQ(area[page_size], 'b');
  CHECK(mremap(area, 2 * page_size, 5 * page_size, 0) == area);
  CHECK_EQ(area[page_size], 'b');
  for (int i = 2; i < 5; i++) CHECK_EQ(area[i * page_size], 0);
}

TEST(remap_moves, "mremap that must move takes the contents along and leaves a hole") {
  fault_catch();
  char* area = map_letters(4);
  char* moved = (char*)mremap(area, 2 * page_size, 8 * page_size, MREMAP_MAYMOVE);
  REQUIRE(moved != MAP_FAILED);
  CHECK(moved != area);
  CHECK_EQ(moved[0], 'a');
  CHECK_EQ(moved[page_size], 'b');
  for (int i = 2; i < 8; i++) CHECK_EQ(moved[i * page_size], 0);
  CHECK_FAULT(access_read, area, SIGSEGV, SEGV_MAPERR);
  CHECK_EQ(area[2 * page_size], 'c');
}

TEST(remap_fixed, "mremap to a fixed place replaces what was there and keeps the protection") {
  fault_catch();
  char* area = map_letters(3);
  char* target = map_letters(4);
  REQUIRE(mprotect(area, 2 * page_size, PROT_READ) == 0);
  CHECK(mremap(area, 2 * page_size, 2 * page_size, MREMAP_MAYMOVE | MREMAP_FIXED, target + page_size) ==
        target + page_size);
  CHECK_EQ(target[0], 'a');
  CHECK_EQ(target[page_size], 'a');
  CHECK_EQ(target[2 * page_size], 'b');
  CHECK_EQ(target[3 * page_size], 'd');
  CHECK_FAULT(access_write, target + page_size, SIGSEGV, SEGV_ACCERR);
  CHECK_FAULT(access_read, area, SIGSEGV, SEGV_MAPERR);
}

TEST(remap_large, "a large sparse area is moved without touching the pages that are not there") {
  size_t pages = tap_loads_in_mmap() ? 512 : 65536;
  char* area = map_anonymous(pages);
  for (size_t i = 0; i < pages; i += pages / 16) area[i * page_size] = (char)('a' + i / (pages / 16));
  char* blocker = (char*)mmap(area + pages * page_size, page_size, PROT_NONE, ANONYMOUS, -1, 0);
  REQUIRE(blocker != MAP_FAILED);
  char* target = map_pages(2 * pages, PROT_NONE, ANONYMOUS | MAP_NORESERVE);
  char* moved =
      (char*)mremap(area, pages * page_size, pages * page_size, MREMAP_MAYMOVE | MREMAP_FIXED, target);
  REQUIRE(moved == target);
  for (size_t i = 0; i < pages; i += pages / 16) {
    CHECK_EQ(moved[i * page_size], 'a' + i / (pages / 16));
    CHECK_EQ(moved[(i + 1) * page_size], 0);
  }
}

static char* program_break(char* to) { return (char*)syscall(SYS_brk, to); }

TEST(brk_moves, "brk grows by zeroes, shrinks, and what grows again is zero again") {
  char* start = program_break(NULL);
  char* first = (char*)(((uintptr_t)start + page_size - 1) & ~(uintptr_t)(page_size - 1));
  char* end = first + 16 * page_size;
  REQUIRE(program_break(end) == end);
  for (char* at = first; at < end; at += page_size) CHECK_EQ(*at, 0);
  memset(start, 'x', end - start);
  CHECK(program_break(first + 2 * page_size) == first + 2 * page_size);
  fault_catch();
  if (!tap_emulated()) CHECK_FAULT(access_read, first + 2 * page_size, SIGSEGV, SEGV_MAPERR);
  CHECK_EQ(first[2 * page_size - 1], 'x');
  REQUIRE(program_break(end) == end);
  for (char* at = first + 2 * page_size; at < end; at += page_size) CHECK_EQ(*at, 0);
}

TEST(brk_refuses, "brk to where it cannot be leaves it where it was") {
  char* start = program_break(NULL);
  CHECK(program_break((char*)16) == start);
  CHECK(program_break((char*)0x7ffffffffffff000ul) == start);
  CHECK(program_break((char*)-1l) == start);
  CHECK(program_break(NULL) == start);
}

TEST(advise_errors, "madvise refuses an unaligned address and an unknown advice, and a hole is ENOMEM") {
  if (tap_emulated()) SKIP("this emulator ignores most advice");
  char* area = map_letters(3);
  CHECK_ERR(madvise(area + 1, page_size, MADV_DONTNEED), EINVAL);
  CHECK_ERR(madvise(area, page_size, 12345), EINVAL);
  CHECK_EQ(madvise(area, 0, MADV_DONTNEED), 0);
  CHECK_EQ(madvise(area, 3 * page_size, MADV_NORMAL), 0);
  CHECK_EQ(madvise(area, 3 * page_size, MADV_WILLNEED), 0);
  CHECK_EQ(area[page_size], 'b');
  REQUIRE(munmap(area + page_size, page_size) == 0);
  CHECK_ERR(madvise(area, 3 * page_size, MADV_DONTNEED), ENOMEM);
}

TEST(discard, "MADV_DONTNEED makes private memory zero or the file's again, and leaves shared memory alone") {
  char* area = map_letters(3);
  CHECK_EQ(madvise(area + page_size, page_size, MADV_DONTNEED), 0);
  CHECK_EQ(area[0], 'a');
  CHECK_EQ(area[page_size], 0);
  CHECK_EQ(area[2 * page_size], 'c');
  int fd = create_file(tap_path("file"), "file", 4);
  char* file = (char*)mmap(NULL, page_size, RW, MAP_PRIVATE, fd, 0);
  REQUIRE(file != MAP_FAILED);
  file[0] = 'P';
  CHECK_EQ(madvise(file, page_size, MADV_DONTNEED), 0);
  CHECK_EQ(file[0], 'f');
  char* shared = map_shared(1);
  shared[0] = 's';
  CHECK_EQ(madvise(shared, page_size, MADV_DONTNEED), 0);
  CHECK_EQ(shared[0], 's');
}

TEST(reservation, "a huge PROT_NONE reservation costs nothing and any part of it can be put to use") {
  size_t pages = (tap_loads_in_mmap() ? (size_t)128 << 20 : (size_t)64 << 30) / page_size;
  fault_catch();
  char* area = map_pages(pages, PROT_NONE, ANONYMOUS | MAP_NORESERVE);
  CHECK_FAULT(access_read, area + pages / 3 * page_size, SIGSEGV, SEGV_ACCERR);
  for (size_t i = 0; i < 8; i++) {
    char* part = area + (pages / 8 * i + 5) * page_size;
    CHECK_EQ(mprotect(part, 2 * page_size, RW), 0);
    part[2 * page_size - 1] = 'x';
    CHECK_EQ(part[2 * page_size - 1], 'x');
    CHECK_FAULT(access_read, part + 2 * page_size, SIGSEGV, SEGV_ACCERR);
  }
  CHECK_EQ(munmap(area, pages * page_size), 0);
}

TEST(shared_anonymous,
     "shared anonymous memory is one between parent, child and grandchild, touched or not before") {
  int* words = (int*)map_shared(2);
  words[0] = 1;
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_EQ(words[0], 1);
    words[1024] = 2;
    pid_t grandchild = tap_fork();
    if (grandchild == 0) {
      words[1025] = words[1024] + 1;
      tap_exit();
    }
    tap_join(grandchild);
    CHECK_EQ(words[1025], 3);
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(words[1024], 2);
  CHECK_EQ(words[1025], 3);
}

TEST(many_areas, "4,000 areas side by side keep their permissions and contents apart") {
  enum { areas = 4000 };
  fault_catch();
  char* start = map_pages(areas, PROT_NONE, ANONYMOUS | MAP_NORESERVE);
  for (int i = 0; i < areas; i += 2)
    if (mprotect(start + i * page_size, page_size, i % 4 ? PROT_READ : RW) != 0) {
      FAIL("mprotect of page %d: %s", i, strerrorname_np(errno));
      return;
    }
  for (int i = 0; i < areas; i += 40) *(volatile int*)(start + i * page_size) = i;
  for (int i = 0; i < areas; i += 40) {
    CHECK_EQ(*(volatile int*)(start + i * page_size), i);
    CHECK_FAULT(access_write, start + (i + 2) * page_size, SIGSEGV, SEGV_ACCERR);
    CHECK_FAULT(access_read, start + (i + 1) * page_size, SIGSEGV, SEGV_ACCERR);
  }
  for (int i = 1; i < areas; i += 2) munmap(start + i * page_size, page_size);
  CHECK_FAULT(access_read, start + page_size, SIGSEGV, SEGV_MAPERR);
  CHECK_EQ(munmap(start, (size_t)areas * page_size), 0);
}

TEST(populate, "with MAP_POPULATE the pages are present when mmap returns") {
  require_pagemap(false);
  char* area = map_pages(16, RW, ANONYMOUS | MAP_POPULATE);
  CHECK_EQ(pages_present(area, 16), 16);
}

TEST(sync_errors, "msync refuses an unaligned address and contrary flags, and a hole is ENOMEM") {
  char* area = map_letters(2);
  CHECK_ERR(msync(area + 1, page_size, MS_SYNC), EINVAL);
  CHECK_ERR(msync(area, page_size, MS_SYNC | MS_ASYNC), EINVAL);
  CHECK_ERR(msync(area, page_size, 0x80), EINVAL);
  CHECK_EQ(msync(area, 2 * page_size, MS_SYNC), 0);
  REQUIRE(munmap(area + page_size, page_size) == 0);
  CHECK_ERR(msync(area, 2 * page_size, MS_SYNC), ENOMEM);
}
