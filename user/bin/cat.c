// cat: writes files one after the other.
#include <fcntl.h>
#include <sys/stat.h>

#include "user/bin/common.h"

static bool number_lines;
static unsigned long line_number;
static bool at_line_start = true;

static bool write_numbered(const char* data, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (at_line_start) printf("%6lu\t", ++line_number);
    at_line_start = data[i] == '\n';
    putchar(data[i]);
  }
  return fflush(stdout) == 0;
}

static bool copy(int fd, const char* path) {
  static char buffer[65536];
  for (;;) {
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) return true;
    if (n < 0) {
      warn("%s", path);
      return false;
    }
    bool written =
        number_lines ? write_numbered(buffer, (size_t)n) : write_fully(STDOUT_FILENO, buffer, (size_t)n);
    if (!written) err(1, "write");
  }
}

static bool copy_operand(const char* path) {
  if (strcmp(path, "-") == 0) return copy(STDIN_FILENO, "standard input");
  int fd = open(path, O_RDONLY);
  if (fd < 0) {
    warn("%s", path);
    return false;
  }
  bool ok = copy(fd, path);
  close(fd);
  return ok;
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "nu")) != -1) {
    if (option == '?') usage("cat [-nu] [file...]");
    if (option == 'n') number_lines = true;  // -u: there is no buffer to switch off
  }
  return for_each_operand(argc, argv, optind, copy_operand);
}
