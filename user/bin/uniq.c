// uniq: writes lines that are equal to the one before only once.
#include "user/bin/common.h"

static bool show_counts, only_repeated, only_single;

static void put_group(const char* line, unsigned long count) {
  if (count == 0 || (only_repeated && count == 1) || (only_single && count > 1)) return;
  if (show_counts) printf("%7lu ", count);
  fputs(line, stdout);
  if (line[0] == '\0' || line[strlen(line) - 1] != '\n') putchar('\n');
}

static bool same_line(const char* a, const char* b) {
  size_t length_a = strcspn(a, "\n");
  return length_a == strcspn(b, "\n") && memcmp(a, b, length_a) == 0;
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "cdu")) != -1) {
    if (option == '?') usage("uniq [-cdu] [input [output]]");
    if (option == 'c') show_counts = true;
    if (option == 'd') only_repeated = true;
    if (option == 'u') only_single = true;
  }
  if (argc - optind > 2) usage("uniq [-cdu] [input [output]]");
  const char* path = optind < argc ? argv[optind] : "-";
  FILE* file = open_input(path);
  if (file == NULL) return 1;
  if (argc - optind == 2 && freopen(argv[optind + 1], "w", stdout) == NULL) err(1, "%s", argv[optind + 1]);
  char* lines[2] = {NULL, NULL};
  size_t capacities[2] = {0, 0};
  int held = 0;
  unsigned long count = 0;
  while (getline(&lines[1 - held], &capacities[1 - held], file) >= 0) {
    if (count > 0 && same_line(lines[held], lines[1 - held])) {
      count++;
      continue;
    }
    if (count > 0) put_group(lines[held], count);
    held = 1 - held;
    count = 1;
  }
  if (count > 0) put_group(lines[held], count);
  return finish_output(check_input(file, path) ? 0 : 1);
}
