// pager: runs a program under another memory policy, or lists those that the kernel has.
#include "user/bin/proc.h"

#define SYNOPSIS "pager [name program [argument...]]"

static const char* const kOwn = "/proc/self/pager";
enum { kFailed = 125 };  // of this program itself, as env and nice have it

// The kernel's pagers, one a line, and "* " before the one that this program runs under.
static void list_pagers(const char* pagers) {
  char name[kPagerNameSize];
  if (!find_pager("self", name)) err(kFailed, "%s", kOwn);
  for (const char* line = pagers; *line != '\0';) {
    int length = (int)strcspn(line, "\n");
    bool current = (size_t)length == strlen(name) && strncmp(line, name, (size_t)length) == 0;
    printf("%s %.*s\n", current ? "*" : " ", length, line);
    line += length + (line[length] == '\n');
  }
}

static void choose_pager(const char* name, const char* pagers) {
  int fd = open(kOwn, O_WRONLY);
  if (fd < 0) err(kFailed, "%s", kOwn);
  if (write(fd, name, strlen(name)) < 0) {
    if (errno != EINVAL) err(kFailed, "%s", kOwn);
    fprintf(stderr, "pager: %s: this kernel has only", name);
    for (const char* at = pagers; *at != '\0'; at += strcspn(at, "\n") + 1)
      fprintf(stderr, " %.*s", (int)strcspn(at, "\n"), at);
    fputs("; `make qemu PAGER=any` boots one with all\n", stderr);
    exit(kFailed);
  }
  close(fd);
}

int main(int argc, char** argv) {
  if (argc == 2 || (argc > 1 && argv[1][0] == '-')) usage(SYNOPSIS);
  char pagers[1024];
  if (read_small_file("/proc/pagers", pagers, sizeof pagers) <= 0) err(kFailed, "/proc/pagers");
  if (argc == 1) {
    list_pagers(pagers);
    return finish_output(0);
  }
  choose_pager(argv[1], pagers);
  execvp(argv[2], argv + 2);
  int error = errno;
  warn("%s", argv[2]);
  return error == ENOENT ? 127 : 126;
}
