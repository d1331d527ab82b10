// Counting the machine's free pages before and after: what processes leave behind.
#pragma once

#include "tap.h"

// kB of the line `name` (with its colon) of /proc/meminfo's text, or -1.
static long meminfo_line(const char* text, const char* name) {
  for (const char* line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (strncmp(line, name, strlen(name)) == 0) return strtol(line + strlen(name), NULL, 10);
  }
  return -1;
}

// Pages free or holding file contents that could be dropped: what anonymous memory, page tables and the
// kernel's objects do not use. All from one reading: a page that this very function's code brings in between
// two would count once as free and once as cached.
TAP_UNUSED static long free_pages(void) {
  char text[4096];
  int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  REQUIRE(n > 0);
  text[n] = '\0';
  long free_kb = meminfo_line(text, "MemFree:"), cached = meminfo_line(text, "Cached:"),
       buffers = meminfo_line(text, "Buffers:");
  REQUIRE(free_kb >= 0);
  return (free_kb + (cached > 0 ? cached : 0) + (buffers > 0 ? buffers : 0)) / 4;
}

// Ends the case as skipped where other programs allocate as they like.
TAP_UNUSED static void require_quiet_machine(void) {
  if (!tap_on_faultline() && !tap_option("tolerance")) SKIP("free pages are not this program's alone here");
}

// True once as many pages are free as were: `before`, less --tolerance. A process is reaped before the last
// of its frames is back, so a difference has two seconds to go away by itself.
TAP_UNUSED static bool free_pages_return(long before) {
  long tolerance = (long)tap_number("tolerance", 0);
  uint64_t limit = tap_nanoseconds() + UINT64_C(2000000000);
  do {
    if (free_pages() >= before - tolerance) return true;
    nanosleep(&(struct timespec){0, 1000000}, NULL);
  } while (tap_nanoseconds() < limit);
  return false;
}

// Checks that free_pages_return.
TAP_UNUSED static void check_free_pages(long before) {
  if (free_pages_return(before)) return;
  long now = free_pages();
  FAIL("%ld pages were free before and %ld after: %ld lost", before, now, before - now);
}
