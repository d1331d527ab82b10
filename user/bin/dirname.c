// dirname: a path without its last component.
#include "user/bin/common.h"

int main(int argc, char** argv) {
  if (argc != 2) usage("dirname path");
  char* path = argv[1];
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') length--;  // slashes at the end
  while (length > 0 && path[length - 1] != '/') length--;  // the last component
  while (length > 1 && path[length - 1] == '/') length--;  // the slashes before it
  if (length == 0) {
    puts(path[0] == '/' ? "/" : ".");
  } else {
    printf("%.*s\n", (int)length, path);
  }
  return finish_output(0);
}
