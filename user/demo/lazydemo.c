// lazydemo: demand paging to look at. Maps 64 MiB, touches some of it step by step, and draws which of its
// pages have memory. Each character is one MiB: `.` nothing, `:` some pages, `#` all.
#include <stdint.h>
#include <sys/mman.h>

#include "user/demo/pagemap.h"

enum { kCells = 64, kCellSize = 1 << 20, kSmallestPage = 4096 };

static size_t mebibytes(size_t count) { return count << 20; }

static volatile char* memory;
static size_t page_size;

static size_t resident_in_cell(const struct Pagemap* map, size_t cell) {
  static uint64_t entries[kCellSize / kSmallestPage];
  size_t count = kCellSize / page_size;
  read_pagemap(map, (uintptr_t)memory + cell * kCellSize, entries, count);
  size_t resident = 0;
  for (size_t i = 0; i < count; i++) resident += is_present(entries[i]);
  return resident;
}

static void print_step(const char* step, long faults) {
  struct Pagemap map = open_pagemap("self");
  char picture[kCells + 1];
  size_t total = 0;
  for (size_t cell = 0; cell < kCells; cell++) {
    size_t resident = resident_in_cell(&map, cell);
    picture[cell] = resident == 0 ? '.' : resident == kCellSize / page_size ? '#' : ':';
    total += resident;
  }
  picture[kCells] = '\0';
  printf("%s\n", step);
  if (map.fd >= 0) printf("  |%s| %zu pages resident,", picture, total);
  printf(" %ld faults\n", faults);
  close_pagemap(&map);
}

static void touch(size_t first, size_t end, size_t stride) {
  for (size_t offset = first; offset < end; offset += stride) memory[offset] = 1;
}

// Reads instead of writing: a kernel may map one page of zeros everywhere.
static void look(size_t first, size_t end) {
  char sum = 0;
  for (size_t offset = first; offset < end; offset += page_size) sum = (char)(sum + memory[offset]);
  if (sum != 0) errx(1, "memory that was never written is not zero");
}

int main(int argc, char** argv) {
  (void)argv;
  if (argc > 1) usage("lazydemo");
  page_size = (size_t)sysconf(_SC_PAGESIZE);
  size_t size = mebibytes(kCells);
  long faults = minor_faults();
  memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) err(1, "mmap");
  madvise((void*)memory, size, MADV_NOHUGEPAGE);  // one page at a time, where pages could be bigger
  print_step("64 MiB mapped, nothing touched", minor_faults() - faults);

  faults = minor_faults();
  touch(size / 2, size / 2 + 1, 1);
  print_step("one byte in the middle written", minor_faults() - faults);

  faults = minor_faults();
  touch(0, size, mebibytes(8));
  print_step("one byte in every 8 MiB written", minor_faults() - faults);

  faults = minor_faults();
  touch(0, mebibytes(16), page_size);
  print_step("the first 16 MiB written", minor_faults() - faults);

  faults = minor_faults();
  look(mebibytes(49), mebibytes(56));
  print_step("7 MiB near the end read", minor_faults() - faults);

  faults = minor_faults();
  touch(0, size, page_size);
  print_step("everything written", minor_faults() - faults);

  faults = minor_faults();
  if (madvise((void*)(memory + mebibytes(8)), mebibytes(32), MADV_DONTNEED) < 0) err(1, "madvise");
  print_step("32 MiB given back (MADV_DONTNEED)", minor_faults() - faults);

  faults = minor_faults();
  look(mebibytes(8), mebibytes(9));
  print_step("1 MiB of those read again: zeros", minor_faults() - faults);
  return finish_output(0);
}
