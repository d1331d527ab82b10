// The kernel's figures in /proc: texts of lines "name value".
#pragma once

#include "tap.h"

// Reads such a text whole, in one reading.
static void read_proc_text(const char* path, char* text, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  ssize_t n = read(fd, text, size - 1);
  close(fd);
  REQUIRE(n > 0);
  text[n] = '\0';
}

// The number in the line that begins with `name`, which is with its colon or space; -1 without such a line.
TAP_UNUSED static long line_value(const char* text, const char* name) {
  for (const char* line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (strncmp(line, name, strlen(name)) == 0) return strtol(line + strlen(name), NULL, 10);
  }
  return -1;
}
