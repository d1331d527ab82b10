// head: writes the first lines or bytes of files.
#include "user/bin/common.h"

static bool count_bytes;
static unsigned long long wanted = 10;

static bool write_head(const char* path) {
  FILE* file = open_input(path);
  if (file == NULL) return false;
  int c;
  for (unsigned long long left = wanted; left > 0 && (c = getc(file)) != EOF;) {
    putchar(c);
    if (count_bytes || c == '\n') left--;
  }
  bool ok = check_input(file, path);
  close_input(file);
  return ok;
}

int main(int argc, char** argv) {
  if (argc > 1 && argv[1][0] == '-' && argv[1][1] >= '0' && argv[1][1] <= '9') {  // the old way: head -5
    wanted = parse_size(argv[1] + 1);
    optind = 2;
  }
  int option;
  while ((option = getopt(argc, argv, "n:c:")) != -1) {
    if (option == '?') usage("head [-n lines | -c bytes] [file...]");
    count_bytes = option == 'c';
    wanted = parse_size(optarg);
  }
  if (argc - optind < 2) return finish_output(for_each_operand(argc, argv, optind, write_head));
  int status = 0;
  for (int i = optind; i < argc; i++) {
    printf("%s==> %s <==\n", i > optind ? "\n" : "", argv[i]);
    if (!write_head(argv[i])) status = 1;
  }
  return finish_output(status);
}
