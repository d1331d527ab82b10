// readlink: writes what a symbolic link says, or with -f the path without any link.
#include <limits.h>

#include "user/bin/common.h"

int main(int argc, char** argv) {
  bool canonical = false;
  bool newline = true;
  int option;
  while ((option = getopt(argc, argv, "fn")) != -1) {
    if (option == '?') usage("readlink [-fn] file...");
    if (option == 'f') canonical = true;
    if (option == 'n') newline = false;
  }
  if (optind >= argc) usage("readlink [-fn] file...");
  int status = 0;
  for (int i = optind; i < argc; i++) {
    char path[PATH_MAX + 1];
    ssize_t n;
    if (canonical) {
      n = realpath(argv[i], path) != NULL ? (ssize_t)strlen(path) : -1;
    } else {
      n = readlink(argv[i], path, PATH_MAX);
    }
    if (n < 0) {
      warn("%s", argv[i]);
      status = 1;
      continue;
    }
    printf("%.*s%s", (int)n, path, newline ? "\n" : "");
  }
  return finish_output(status);
}
