// What processes leave behind: the machine's memory before and after, to the page and to the object.
#pragma once

#include "proc_text.h"
#include "tap.h"

// What is in use beside caches whose contents can be read from the disk again.
struct memory_in_use {
  long pages;         // of processes, page tables and the kernel, without those that hold its small objects
  long object_bytes;  // the kernel's small objects
};
// The small objects share pages, and which ones share depends on the order in which harts allocate and free:
// as many objects may take a page more than before. So the objects themselves are counted, not their pages.

// Bytes of all objects in use that /proc/slabinfo lists.
static long slab_object_bytes(const char* text) {
  long sum = 0, lines = 0;
  for (const char* line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    long active, size;
    if (sscanf(line, "%*s %ld %*d %ld", &active, &size) != 2) continue;
    sum += active * size;
    lines++;
  }
  REQUIRE(lines > 0);
  return sum;
}

// All pages from one reading: a page that this very function's code brings in between two would count once as
// free and once as cached.
TAP_UNUSED static struct memory_in_use memory_in_use(void) {
  static const char* const not_in_use[] = {"MemFree:", "Buffers:", "Cached:", "Slab:"};
  char text[4096];
  read_proc_text("/proc/meminfo", text, sizeof text);
  long kilobytes = line_value(text, "MemTotal:");
  REQUIRE(kilobytes > 0);
  for (size_t i = 0; i < sizeof not_in_use / sizeof *not_in_use; i++) {
    long value = line_value(text, not_in_use[i]);
    REQUIRE(value >= 0);
    kilobytes -= value;
  }
  read_proc_text("/proc/slabinfo", text, sizeof text);
  return (struct memory_in_use){kilobytes / 4, slab_object_bytes(text)};
}

// Empties the caches, so that what they hold, and the kernel's objects for it, are as before. What is still
// mapped or open stays.
TAP_UNUSED static void drop_caches(void) {
  sync();
  int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  CHECK_EQ(write(fd, "3\n", 2), 2);
  close(fd);
}

// Ends the case as skipped where other programs allocate as they like.
TAP_UNUSED static void require_quiet_machine(void) {
  if (!tap_on_faultline()) SKIP("memory is not this program's alone here");
}

// True once no more memory is in use than was `before`. A process is reaped before the last of its frames is
// back, and an orphan by init when that gets its turn, so a difference has half a minute to go away by
// itself.
TAP_UNUSED static bool memory_returns(struct memory_in_use before) {
  uint64_t limit = tap_nanoseconds() + UINT64_C(30000000000);
  do {
    struct memory_in_use now = memory_in_use();
    if (now.pages <= before.pages && now.object_bytes <= before.object_bytes) return true;
    nanosleep(&(struct timespec){0, 1000000}, NULL);
  } while (tap_nanoseconds() < limit);
  return false;
}

// Checks that memory_returns.
TAP_UNUSED static void check_memory_returned(struct memory_in_use before) {
  if (memory_returns(before)) return;
  struct memory_in_use now = memory_in_use();
  FAIL("%ld pages and %ld bytes of kernel objects were in use before, %ld and %ld after", before.pages,
       before.object_bytes, now.pages, now.object_bytes);
}
