// Files that are written through memory and are larger than it: what has been written makes room for the
// rest.
#include <sys/mman.h>

#define TAP_OPTIONS "mib"
#include "common/memory.h"
#include "common/pages.h"

static long meminfo_kib(const char* name) {
  char text[4096], label[32];
  read_proc_text("/proc/meminfo", text, sizeof text);
  snprintf(label, sizeof label, "%s:", name);
  return line_value(text, label);
}

// Every page tells its place in the file and the round it was written in.
static uint64_t mark_of(uint64_t page, uint64_t round) { return page * 2654435761u + round; }

static uint64_t wrong_pages(int fd, uint64_t pages, uint64_t round) {
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < pages; i++) {
    uint64_t mark = 0;
    if (pread(fd, &mark, sizeof mark, (off_t)(i * page_size)) != sizeof mark || mark != mark_of(i, round))
      wrong++;
  }
  return wrong;
}

TEST(shared_mapping, "a shared mapping larger than memory can be written through, again and again") {
  uint64_t pages = (tap_number("mib", 4) << 20) / page_size;
  int fd = create_file(tap_path("file"), "", 0);
  CHECK_OK(ftruncate(fd, (off_t)(pages * page_size)));
  char* at = (char*)mmap(NULL, pages * page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  REQUIRE(at != MAP_FAILED);
  for (uint64_t round = 1; round <= 2; round++)
    for (uint64_t i = 0; i < pages; i++) *(volatile uint64_t*)(at + i * page_size) = mark_of(i, round);
  CHECK_EQ(wrong_pages(fd, pages, 2), 0);
  CHECK_OK(munmap(at, pages * page_size));
  CHECK_EQ(wrong_pages(fd, pages, 2), 0);
}

TEST(available, "memory that is called available can be had, and is what the dirty pages of files take") {
  // A page of the cache that is dirty counts; one that a private mapping holds does not.
  long before = meminfo_kib("MemAvailable");
  int fd = create_file(tap_path("file"), "", 0);
  static char bytes[1 << 20];
  memset(bytes, 1, sizeof bytes);
  for (int i = 0; i < 8; i++) REQUIRE(write(fd, bytes, sizeof bytes) == sizeof bytes);
  CHECK(meminfo_kib("MemAvailable") > before - (4 << 10));
  CHECK(meminfo_kib("MemAvailable") <= meminfo_kib("MemTotal"));
  char* at = (char*)mmap(NULL, 8 << 20, PROT_READ, MAP_PRIVATE, fd, 0);
  REQUIRE(at != MAP_FAILED);
  volatile char sum = 0;
  for (int i = 0; i < 8 << 20; i += page_size) sum = (char)(sum + at[i]);
  CHECK(!tap_on_faultline() || meminfo_kib("MemAvailable") < before - (4 << 10));
}
