// touch: sets the times of files to now, and makes those that do not exist.
#include <fcntl.h>
#include <sys/stat.h>

#include "user/bin/common.h"

int main(int argc, char** argv) {
  bool create = true;
  int option;
  while ((option = getopt(argc, argv, "c")) != -1) {
    if (option == '?') usage("touch [-c] file...");
    create = false;
  }
  if (optind >= argc) usage("touch [-c] file...");
  int status = 0;
  for (int i = optind; i < argc; i++) {
    if (utimensat(AT_FDCWD, argv[i], NULL, 0) == 0) continue;
    if (errno == ENOENT && !create) continue;
    int fd = errno == ENOENT ? open(argv[i], O_WRONLY | O_CREAT, 0666) : -1;
    if (fd >= 0) {
      close(fd);
      continue;
    }
    warn("%s", argv[i]);
    status = 1;
  }
  return status;
}
