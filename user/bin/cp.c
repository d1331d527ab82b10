// cp: copies files and, with -r, trees.
#include "user/bin/copy.h"

int main(int argc, char** argv) {
  struct CopyOptions options = {0};
  int option;
  while ((option = getopt(argc, argv, "rRpfa")) != -1) {
    if (option == '?') usage("cp [-rpfa] file... destination");
    if (option == 'r' || option == 'R' || option == 'a') options.recursive = true;
    if (option == 'p' || option == 'a') options.preserve = true;
    if (option == 'f') options.force = true;
  }
  if (argc - optind < 2) usage("cp [-rpfa] file... destination");
  const char* to = argv[argc - 1];
  if (argc - optind > 2 && !is_existing_directory(to)) errx(1, "%s: %s", to, strerror(ENOTDIR));
  int status = 0;
  for (int i = optind; i < argc - 1; i++) {
    char* path = destination_path(argv[i], to);
    options.has_root = false;
    if (!copy_path(argv[i], path, &options)) status = 1;
    free(path);
  }
  return status;
}
