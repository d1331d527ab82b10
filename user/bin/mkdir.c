// mkdir: makes directories.
#include <sys/stat.h>

#include "user/bin/common.h"

static bool is_directory(const char* path) {
  struct stat status;
  return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

// Makes whatever is missing of the path; what exists already is no error.
static bool make_path(char* path, mode_t mode) {
  for (char* slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
    *slash = '\0';
    bool ok = mkdir(path, 0777) == 0 || (errno == EEXIST && is_directory(path)) || is_directory(path);
    *slash = '/';
    if (!ok) return false;
  }
  return mkdir(path, mode) == 0 || (errno == EEXIST && is_directory(path));
}

int main(int argc, char** argv) {
  bool parents = false;
  mode_t mode = 0777;
  int option;
  while ((option = getopt(argc, argv, "pm:")) != -1) {
    char* end = NULL;
    if (option == '?') usage("mkdir [-p] [-m mode] directory...");
    if (option == 'p') parents = true;
    if (option == 'm') mode = (mode_t)strtoul(optarg, &end, 8);
    if (option == 'm' && (*end != '\0' || mode > 07777)) errx(kUsageError, "%s: not an octal mode", optarg);
  }
  if (optind >= argc) usage("mkdir [-p] [-m mode] directory...");
  int status = 0;
  for (int i = optind; i < argc; i++) {
    if (parents ? make_path(argv[i], mode) : mkdir(argv[i], mode) == 0) continue;
    warn("%s", argv[i]);
    status = 1;
  }
  return status;
}
