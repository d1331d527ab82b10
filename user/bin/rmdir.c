// rmdir: removes empty directories.
#include "user/bin/common.h"

static bool remove_path(char* path, bool parents) {
  for (;;) {
    if (rmdir(path) < 0) {
      warn("%s", path);
      return false;
    }
    char* slash = parents ? strrchr(path, '/') : NULL;
    if (slash == NULL || slash == path) return true;
    *slash = '\0';
  }
}

int main(int argc, char** argv) {
  bool parents = false;
  int option;
  while ((option = getopt(argc, argv, "p")) != -1) {
    if (option == '?') usage("rmdir [-p] directory...");
    parents = true;
  }
  if (optind >= argc) usage("rmdir [-p] directory...");
  int status = 0;
  for (int i = optind; i < argc; i++) {
    if (!remove_path(argv[i], parents)) status = 1;
  }
  return status;
}
