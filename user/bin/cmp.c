// cmp: compares two files byte by byte. Status 0 if they are equal, 1 if not, 2 after an error.
#include "user/bin/common.h"

int main(int argc, char** argv) {
  bool silent = false;
  bool list_all = false;
  int option;
  while ((option = getopt(argc, argv, "sl")) != -1) {
    if (option == '?') usage("cmp [-s | -l] file1 file2");
    if (option == 's') silent = true;
    if (option == 'l') list_all = true;
  }
  if (argc - optind != 2) usage("cmp [-s | -l] file1 file2");
  const char* paths[2] = {argv[optind], argv[optind + 1]};
  FILE* files[2];
  for (int i = 0; i < 2; i++) {
    files[i] = open_input(paths[i]);
    if (files[i] == NULL) return 2;
  }
  unsigned long long line = 1;
  int status = 0;
  for (unsigned long long offset = 1;; offset++) {
    int a = getc(files[0]);
    int b = getc(files[1]);
    if (a == b) {
      if (a == EOF) break;
      if (a == '\n') line++;
      continue;
    }
    status = 1;
    if (a == EOF || b == EOF) {
      if (!silent && !ferror(files[a != EOF])) warnx("%s ends after byte %llu", paths[a != EOF], offset - 1);
      break;
    }
    if (list_all) {
      printf("%llu %o %o\n", offset, (unsigned)a, (unsigned)b);
      continue;
    }
    if (!silent) printf("%s %s differ: byte %llu, line %llu\n", paths[0], paths[1], offset, line);
    break;
  }
  if (!check_input(files[0], paths[0]) || !check_input(files[1], paths[1])) status = 2;
  return finish_output(status);
}
