// ln: makes links.
#include <sys/stat.h>

#include "user/bin/common.h"

static bool symbolic, force, no_dereference;

static bool is_directory(const char* path) {
  struct stat status;
  return (no_dereference ? lstat(path, &status) : stat(path, &status)) == 0 && S_ISDIR(status.st_mode);
}

static bool make_link(const char* target, const char* path) {
  for (;;) {
    if ((symbolic ? symlink(target, path) : link(target, path)) == 0) return true;
    if (errno != EEXIST || !force || unlink(path) < 0) break;
  }
  warn("%s", path);
  return false;
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "sfn")) != -1) {
    if (option == '?') usage("ln [-sfn] target... [link | directory]");
    if (option == 's') symbolic = true;
    if (option == 'f') force = true;
    if (option == 'n') no_dereference = true;
  }
  int count = argc - optind;
  if (count < 1) usage("ln [-sfn] target... [link | directory]");
  const char* destination = count == 1 ? "." : argv[argc - 1];
  bool into = is_directory(destination);
  if (count > 2 && !into) errx(1, "%s: %s", destination, strerror(ENOTDIR));
  int targets = count == 1 ? 1 : count - 1;
  int status = 0;
  for (int i = optind; i < optind + targets; i++) {
    char* path = into ? join_path(destination, last_component(argv[i])) : duplicate_string(destination);
    if (!make_link(argv[i], path)) status = 1;
    free(path);
  }
  return status;
}
