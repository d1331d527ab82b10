// A file workload whose machine may be killed at any moment, and the question afterwards: is there what fsync
// has promised? It prints a line for each promise before it goes on:
//
//     kept N       file N has its contents and its name, on the disk
//     leaving N    file N is about to be changed, as soon as whoever reads this has answered with a line
//
//   file_workload run SEED        works until it is stopped
//   file_workload check N...      says which of these files are not as they were kept
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { directories = 4, longest = 40000 };
static char bytes[longest];
static char paths[2][64];

static const char* path_of(unsigned number, int buffer) {
  snprintf(paths[buffer], sizeof paths[buffer], "/root/work%u/file%u", number % directories, number);
  return paths[buffer];
}

static size_t contents_of(unsigned number) {
  size_t size = 1 + number * 7919u % longest;
  for (size_t i = 0; i < size; i++) bytes[i] = (char)(number * 31 + i / 7);
  return size;
}

static void require(bool condition, const char* what) {
  if (condition) return;
  printf("failed: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void promise(const char* line, unsigned number) {
  printf("%s %u\n", line, number);
  fflush(stdout);
}

static void make_file(unsigned number, bool keep) {
  int fd = open(path_of(number, 0), O_CREAT | O_TRUNC | O_WRONLY, 0644);
  require(fd >= 0, "open");
  size_t size = contents_of(number);
  require(write(fd, bytes, size) == (ssize_t)size, "write");
  if (keep) {
    require(fsync(fd) == 0, "fsync");
    promise("kept", number);
  }
  close(fd);
}

// The first name that a file gets is not its last: fsync after a rename makes the new one durable.
static void make_and_rename(unsigned number) {
  static const char unfinished[] = "/root/unfinished";
  int fd = open(unfinished, O_CREAT | O_TRUNC | O_WRONLY, 0644);
  require(fd >= 0, "open");
  size_t size = contents_of(number);
  require(write(fd, bytes, size) == (ssize_t)size, "write");
  require(rename(unfinished, path_of(number, 0)) == 0, "rename");
  require(fsync(fd) == 0, "fsync");
  promise("kept", number);
  close(fd);
}

static void run(unsigned seed) {
  srand(seed);
  for (unsigned i = 0; i < directories; i++) {
    char name[32];
    snprintf(name, sizeof name, "/root/work%u", i);
    mkdir(name, 0755);
  }
  enum { window = 40 };
  for (unsigned number = seed % 1000 * 100000;; number++) {
    switch (rand() % 6) {
      case 0:
        make_file(number, false);
        break;
      case 1:
        make_and_rename(number);
        break;
      case 2:
        // What a kill has left of the last time is in the way once.
        if (mkdir("/root/work0/sub", 0755) == 0 && rename("/root/work0/sub", "/root/work1/sub") == 0 &&
            symlink("target", "/root/work1/sub/link") == 0)
          unlink("/root/work1/sub/link");
        rmdir("/root/work1/sub");
        make_file(number, true);
        break;
      default:
        make_file(number, true);
    }
    unsigned old = number - window;
    if (number % 100000 < window || access(path_of(old, 0), F_OK) != 0) continue;
    promise("leaving", old);
    require(getchar() == '\n', "answer");
    if (rand() % 2 == 0) require(truncate(path_of(old, 0), rand() % 5000) == 0, "truncate");
    require(unlink(path_of(old, 0)) == 0, "unlink");
  }
}

static int check(int count, char** numbers) {
  static char found[longest + 1];
  int wrong = 0;
  for (int i = 0; i < count; i++) {
    unsigned number = (unsigned)strtoul(numbers[i], NULL, 10);
    size_t size = contents_of(number);
    int fd = open(path_of(number, 0), O_RDONLY);
    ssize_t got = fd < 0 ? -1 : read(fd, found, sizeof found);
    if (got != (ssize_t)size || memcmp(found, bytes, size) != 0) {
      printf("wrong %u: %zd bytes of %zu\n", number, got, size);
      wrong++;
    }
    close(fd);
  }
  printf("%d files checked, %d wrong\n", count, wrong);
  return wrong != 0;
}

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "run") == 0) run((unsigned)strtoul(argv[2], NULL, 10));
  if (argc >= 2 && strcmp(argv[1], "check") == 0) return check(argc - 2, argv + 2);
  fprintf(stderr, "usage: file_workload run SEED | check NUMBER...\n");
  return 2;
}
