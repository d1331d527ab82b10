// which: where in PATH programs are.
#include <sys/stat.h>

#include "user/bin/common.h"

static bool is_program(const char* path) {
  struct stat status;
  return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

static bool find_program(const char* name) {
  if (strchr(name, '/') != NULL) {
    if (is_program(name)) puts(name);
    return is_program(name);
  }
  const char* path = getenv("PATH");
  if (path == NULL) path = "/bin";
  for (;;) {
    size_t length = strcspn(path, ":");
    char* directory = duplicate_string(length > 0 ? path : ".");
    if (length > 0) directory[length] = '\0';
    char* candidate = join_path(directory, name);
    bool found = is_program(candidate);
    if (found) puts(candidate);
    free(candidate);
    free(directory);
    if (found) return true;
    if (path[length] == '\0') return false;
    path += length + 1;
  }
}

int main(int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') usage("which program...");
  int status = 0;
  for (int i = 1; i < argc; i++) {
    if (!find_program(argv[i])) status = 1;
  }
  return finish_output(status);
}
