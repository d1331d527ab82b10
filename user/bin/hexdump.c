// hexdump: shows bytes in hexadecimal.
#include <ctype.h>

#include "user/bin/common.h"

enum { kRow = 16 };

static bool canonical;
static bool show_all;
static unsigned long long left_to_show = ~0ULL;
static unsigned long long skip;

static struct {
  unsigned char row[kRow];
  size_t used;
  unsigned long long offset;
  unsigned char previous[kRow];
  bool have_previous;
  bool starred;
} state;

static void print_row_canonical(void) {
  printf("%08llx", state.offset);
  for (size_t i = 0; i < kRow; i++) {
    if (i % 8 == 0) putchar(' ');
    if (i < state.used) {
      printf(" %02x", state.row[i]);
    } else {
      fputs("   ", stdout);
    }
  }
  fputs("  |", stdout);
  for (size_t i = 0; i < state.used; i++) putchar(isprint(state.row[i]) ? state.row[i] : '.');
  puts("|");
}

// Pairs of bytes as little-endian numbers, as hexdump has always done without options.
static void print_row_words(void) {
  printf("%07llx", state.offset);
  for (size_t i = 0; i < state.used; i += 2) {
    unsigned high = i + 1 < state.used ? state.row[i + 1] : 0;
    printf(" %04x", high << 8 | state.row[i]);
  }
  putchar('\n');
}

// A run of rows equal to the one before is shown as one `*`.
static void finish_row(void) {
  if (state.used == 0) return;
  bool repeated = state.have_previous && state.used == kRow && memcmp(state.row, state.previous, kRow) == 0;
  if (repeated && !show_all) {
    if (!state.starred) puts("*");
    state.starred = true;
  } else {
    state.starred = false;
    if (canonical) {
      print_row_canonical();
    } else {
      print_row_words();
    }
  }
  memcpy(state.previous, state.row, kRow);
  state.have_previous = state.used == kRow;
  state.offset += state.used;
  state.used = 0;
}

static bool dump_file(const char* path) {
  FILE* file = open_input(path);
  if (file == NULL) return false;
  int c;
  while (left_to_show > 0 && (c = getc(file)) != EOF) {
    if (skip > 0) {
      skip--;
      state.offset++;
      continue;
    }
    left_to_show--;
    state.row[state.used++] = (unsigned char)c;
    if (state.used == kRow) finish_row();
  }
  bool ok = check_input(file, path);
  close_input(file);
  return ok;
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "Cvn:s:")) != -1) {
    switch (option) {
      case 'C':
        canonical = true;
        break;
      case 'v':
        show_all = true;
        break;
      case 'n':
        left_to_show = parse_size(optarg);
        break;
      case 's':
        skip = parse_size(optarg);
        break;
      default:
        usage("hexdump [-Cv] [-n bytes] [-s bytes] [file...]");
    }
  }
  int status = for_each_operand(argc, argv, optind, dump_file);
  finish_row();
  if (state.offset > 0) printf(canonical ? "%08llx\n" : "%07llx\n", state.offset);
  return finish_output(status);
}
