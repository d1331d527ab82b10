// basename: the last component of a path, without a suffix if one is named.
#include "user/bin/common.h"

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) usage("basename path [suffix]");
  char* path = argv[1];
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') path[--length] = '\0';
  char* slash = strrchr(path, '/');
  char* name = slash != NULL && slash[1] != '\0' ? slash + 1 : path;
  if (argc == 3) {
    size_t name_length = strlen(name);
    size_t suffix_length = strlen(argv[2]);
    bool ends = name_length > suffix_length && strcmp(name + name_length - suffix_length, argv[2]) == 0;
    if (ends) name[name_length - suffix_length] = '\0';
  }
  puts(name);
  return finish_output(0);
}
