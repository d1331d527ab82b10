// cut: writes parts of lines.
#include "user/bin/common.h"

#define SYNOPSIS "cut -c list | -b list | -f list [-d character] [-s] [file...]"

struct Range {
  unsigned long first, last;  // from 1, inclusive
};

static struct Range* ranges;
static size_t range_count;
static char delimiter = '\t';
static bool by_field, only_delimited;

static void parse_list(const char* list) {
  const char* c = list;
  for (;;) {
    char* end;
    struct Range range = {1, ~0UL};
    bool has_first = *c >= '0' && *c <= '9';
    if (has_first) {
      range.first = strtoul(c, &end, 10);
      range.last = range.first;
      c = end;
    }
    bool open_ended = *c == '-';
    if (open_ended) {
      c++;
      bool has_last = *c >= '0' && *c <= '9';
      range.last = ~0UL;
      if (has_last) {
        range.last = strtoul(c, &end, 10);
        c = end;
      }
      if (!has_first && !has_last) break;
    }
    if ((!has_first && !open_ended) || range.first == 0 || range.last < range.first) break;
    ranges = reallocate(ranges, (range_count + 1) * sizeof *ranges);
    ranges[range_count++] = range;
    if (*c == '\0') return;
    if (*c++ != ',') break;
  }
  errx(kUsageError, "%s: not a list of positions", list);
}

static bool is_selected(unsigned long position) {
  for (size_t i = 0; i < range_count; i++) {
    if (position >= ranges[i].first && position <= ranges[i].last) return true;
  }
  return false;
}

static void cut_characters(const char* line) {
  for (unsigned long i = 0; line[i] != '\0'; i++) {
    if (is_selected(i + 1)) putchar(line[i]);
  }
  putchar('\n');
}

static void cut_fields(const char* line) {
  if (strchr(line, delimiter) == NULL) {
    if (!only_delimited) puts(line);
    return;
  }
  bool any = false;
  for (unsigned long field = 1;; field++) {
    const char* end = strchr(line, delimiter);
    size_t length = end != NULL ? (size_t)(end - line) : strlen(line);
    if (is_selected(field)) {
      if (any) putchar(delimiter);
      fwrite(line, 1, length, stdout);
      any = true;
    }
    if (end == NULL) break;
    line = end + 1;
  }
  putchar('\n');
}

static bool cut_file(const char* path) {
  FILE* file = open_input(path);
  if (file == NULL) return false;
  char* line = NULL;
  size_t capacity = 0;
  ssize_t length;
  while ((length = getline(&line, &capacity, file)) >= 0) {
    if (length > 0 && line[length - 1] == '\n') line[length - 1] = '\0';
    if (by_field) {
      cut_fields(line);
    } else {
      cut_characters(line);
    }
  }
  free(line);
  bool ok = check_input(file, path);
  close_input(file);
  return ok;
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "b:c:f:d:s")) != -1) {
    switch (option) {
      case 'b':
      case 'c':
        parse_list(optarg);
        break;
      case 'f':
        by_field = true, parse_list(optarg);
        break;
      case 'd':
        delimiter = optarg[0];
        break;
      case 's':
        only_delimited = true;
        break;
      default:
        usage(SYNOPSIS);
    }
  }
  if (range_count == 0) usage(SYNOPSIS);
  return finish_output(for_each_operand(argc, argv, optind, cut_file));
}
