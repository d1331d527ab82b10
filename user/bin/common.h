// What nearly every tool needs. Errors are reported with <err.h>, which writes "name: subject: strerror".
#pragma once

#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kUsageError = 2 };

// Ends the program: it was called in a wrong way.
static inline _Noreturn void usage(const char* synopsis) {
  fprintf(stderr, "usage: %s\n", synopsis);
  exit(kUsageError);
}

// The status to return from main: 1 if standard output could not take everything.
static inline int finish_output(int status) {
  if (fflush(stdout) == 0 && !ferror(stdout)) return status;
  warn("write");
  return 1;
}

static inline void* allocate(size_t size) {
  void* memory = malloc(size ? size : 1);
  if (memory == NULL) err(1, NULL);
  return memory;
}

static inline void* reallocate(void* memory, size_t size) {
  memory = realloc(memory, size ? size : 1);
  if (memory == NULL) err(1, NULL);
  return memory;
}

static inline char* duplicate_string(const char* text) {
  size_t size = strlen(text) + 1;
  return (char*)memcpy(allocate(size), text, size);
}

// "directory/name", to be freed.
static inline char* join_path(const char* directory, const char* name) {
  size_t length = strlen(directory);
  const char* separator = length > 0 && directory[length - 1] == '/' ? "" : "/";
  size_t size = length + strlen(separator) + strlen(name) + 1;
  char* path = (char*)allocate(size);
  snprintf(path, size, "%s%s%s", directory, separator, name);
  return path;
}

// What follows the last slash. A path that ends in slashes keeps them.
static inline const char* last_component(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

// A decimal number with an optional k, M or G, which count in 1024s. Ends the program if it is none.
static inline unsigned long long parse_size(const char* text) {
  char* end;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  unsigned shift = *end == 'k' || *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
  if (shift != 0) end++;
  bool fits = errno == 0 && value <= (~0ULL >> 1) >> shift;
  if (end == text || *end != '\0' || text[0] == '-' || !fits)
    errx(kUsageError, "%s: not a number that fits", text);
  return value << shift;
}

// Opens an operand for reading; "-" is standard input. NULL with the reason reported.
static inline FILE* open_input(const char* path) {
  if (strcmp(path, "-") == 0) return stdin;
  FILE* file = fopen(path, "r");
  if (file == NULL) warn("%s", path);
  return file;
}

static inline void close_input(FILE* file) {
  if (file != stdin) fclose(file);
}

// Reports a read error of a file that has been read to its end; true if there was none.
static inline bool check_input(FILE* file, const char* path) {
  if (!ferror(file)) return true;
  warn("%s", path);
  return false;
}

// False with errno set if not everything could be written.
static inline bool write_fully(int fd, const char* data, size_t size) {
  while (size > 0) {
    ssize_t n = write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    size -= (size_t)n;
  }
  return true;
}

// Calls `process` with each operand, or with "-" if there is none. Returns 1 if a call returned false.
static inline int for_each_operand(int argc, char** argv, int first, bool (*process)(const char* path)) {
  if (first >= argc) return process("-") ? 0 : 1;
  int status = 0;
  for (int i = first; i < argc; i++) {
    if (!process(argv[i])) status = 1;
  }
  return status;
}
