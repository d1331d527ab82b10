// Reading the files of /proc.
#pragma once

#include <fcntl.h>

#include "user/bin/common.h"

// Reads a whole small file into `buffer` and ends it with a NUL. Returns its length, or -1 with errno set.
static inline ssize_t read_small_file(const char* path, char* buffer, size_t size) {
  int fd = open(path, O_RDONLY);
  if (fd < 0) return -1;
  size_t used = 0;
  ssize_t n = 0;
  while (used + 1 < size && (n = read(fd, buffer + used, size - 1 - used)) > 0) used += (size_t)n;
  int error = errno;
  close(fd);
  buffer[used] = '\0';
  errno = error;
  return n < 0 ? -1 : (ssize_t)used;
}

// The number after "name" (which includes its colon or blank) at the start of a line of `text`; -1 if there
// is none.
static inline long long find_number(const char* text, const char* name) {
  size_t length = strlen(name);
  for (const char* line = text; line != NULL; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (strncmp(line, name, length) == 0) return strtoll(line + length, NULL, 10);
  }
  return -1;
}

enum { kPagerNameSize = 32 };

// The memory policy of a process, by its number or "self". False, with errno set, where the kernel tells
// none.
static inline bool find_pager(const char* process, char name[static kPagerNameSize]) {
  char path[128];
  char text[256];
  snprintf(path, sizeof path, "/proc/%s/pager", process);
  return read_small_file(path, text, sizeof text) > 0 && sscanf(text, "pager %31s", name) == 1;
}
