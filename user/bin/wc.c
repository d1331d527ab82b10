// wc: counts lines, words and bytes.
#include <ctype.h>

#include "user/bin/common.h"

struct Counts {
  unsigned long lines, words, bytes;
};

static bool want_lines, want_words, want_bytes;
static struct Counts total;

static void print_counts(const struct Counts* counts, const char* name) {
  const char* separator = "";
  if (want_lines) printf("%s%lu", separator, counts->lines), separator = " ";
  if (want_words) printf("%s%lu", separator, counts->words), separator = " ";
  if (want_bytes) printf("%s%lu", separator, counts->bytes);
  if (name != NULL) printf(" %s", name);
  putchar('\n');
}

static bool count_file(const char* path, const char* name) {
  FILE* file = open_input(path);
  if (file == NULL) return false;
  struct Counts counts = {0};
  bool in_word = false;
  int c;
  while ((c = getc_unlocked(file)) != EOF) {
    counts.bytes++;
    if (c == '\n') counts.lines++;
    bool blank = isspace(c);
    if (!blank && !in_word) counts.words++;
    in_word = !blank;
  }
  bool ok = check_input(file, path);
  close_input(file);
  print_counts(&counts, name);
  total.lines += counts.lines;
  total.words += counts.words;
  total.bytes += counts.bytes;
  return ok;
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "lwc")) != -1) {
    if (option == '?') usage("wc [-lwc] [file...]");
    if (option == 'l') want_lines = true;
    if (option == 'w') want_words = true;
    if (option == 'c') want_bytes = true;
  }
  if (!want_lines && !want_words && !want_bytes) want_lines = want_words = want_bytes = true;
  if (optind >= argc) return finish_output(count_file("-", NULL) ? 0 : 1);
  int status = 0;
  for (int i = optind; i < argc; i++) {
    if (!count_file(argv[i], argv[i])) status = 1;
  }
  if (argc - optind > 1) print_counts(&total, "total");
  return finish_output(status);
}
