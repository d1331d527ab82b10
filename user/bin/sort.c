// sort: writes lines in order.
#include <ctype.h>

#include "user/bin/common.h"

#define SYNOPSIS \
  "sort [-bcfnru] [-k field[.character][bfnr][,field[.character]]] [-o file] [-t character] [file...]"

struct Ordering {
  bool numeric, reverse, fold, skip_blanks;
};

struct Key {
  size_t first_field, first_character;  // from 1
  size_t last_field, last_character;    // 0: to the end of the line or of the field
  bool own_ordering;
  struct Ordering ordering;
};

struct Slice {
  const char* begin;
  const char* end;
};

static struct Ordering global;
static struct Key* keys;
static size_t key_count;
static int separator = -1;  // -1: fields are separated by the empty string before a blank
static bool unique;

static char** lines;
static size_t line_count;
static size_t line_capacity;

static const char* skip_field(const char* text) {
  if (separator >= 0) {
    while (*text != '\0' && *text != (char)separator) text++;
    return text;
  }
  while (isblank((unsigned char)*text)) text++;
  while (*text != '\0' && !isblank((unsigned char)*text)) text++;
  return text;
}

static const char* find_field(const char* line, size_t field) {
  for (; field > 1 && *line != '\0'; field--) {
    line = skip_field(line);
    if (separator >= 0 && *line != '\0') line++;
  }
  return line;
}

static const char* advance(const char* text, size_t characters) {
  while (characters > 0 && *text != '\0') {
    text++;
    characters--;
  }
  return text;
}

static struct Slice key_slice(const char* line, const struct Key* key) {
  struct Slice slice;
  const char* field = find_field(line, key->first_field);
  if (key->ordering.skip_blanks || key->ordering.numeric) {
    while (isblank((unsigned char)*field)) field++;
  }
  slice.begin = advance(field, key->first_character - 1);
  if (key->last_field == 0) {
    slice.end = slice.begin + strlen(slice.begin);
  } else {
    field = find_field(line, key->last_field);
    slice.end = key->last_character == 0 ? skip_field(field) : advance(field, key->last_character);
  }
  if (slice.end < slice.begin) slice.end = slice.begin;
  return slice;
}

// Compares decimal numbers of any length; text that does not begin with one counts as zero.
static int compare_numbers(struct Slice a, struct Slice b) {
  struct Slice slices[2] = {a, b};
  const char* digits[2];
  size_t length[2];
  bool negative[2];
  const char* fraction[2];
  size_t fraction_length[2];
  for (int i = 0; i < 2; i++) {
    const char* c = slices[i].begin;
    while (c < slices[i].end && isblank((unsigned char)*c)) c++;
    negative[i] = c < slices[i].end && *c == '-';
    if (negative[i]) c++;
    while (c < slices[i].end && *c == '0') c++;
    digits[i] = c;
    while (c < slices[i].end && isdigit((unsigned char)*c)) c++;
    length[i] = (size_t)(c - digits[i]);
    bool point = c < slices[i].end && *c == '.';
    fraction[i] = point ? c + 1 : c;
    c = fraction[i];
    while (point && c < slices[i].end && isdigit((unsigned char)*c)) c++;
    while (c > fraction[i] && c[-1] == '0') c--;
    fraction_length[i] = (size_t)(c - fraction[i]);
    if (length[i] == 0 && fraction_length[i] == 0) negative[i] = false;  // -0
  }
  if (negative[0] != negative[1]) return negative[0] ? -1 : 1;
  int sign = negative[0] ? -1 : 1;
  if (length[0] != length[1]) return length[0] < length[1] ? -sign : sign;
  int order = memcmp(digits[0], digits[1], length[0]);
  if (order != 0) return order * sign;
  size_t common = fraction_length[0] < fraction_length[1] ? fraction_length[0] : fraction_length[1];
  order = memcmp(fraction[0], fraction[1], common);
  if (order != 0) return order * sign;
  if (fraction_length[0] == fraction_length[1]) return 0;
  return fraction_length[0] < fraction_length[1] ? -sign : sign;
}

static int compare_text(struct Slice a, struct Slice b, bool fold) {
  for (;; a.begin++, b.begin++) {
    if (a.begin == a.end || b.begin == b.end) return (a.begin != a.end) - (b.begin != b.end);
    int x = (unsigned char)*a.begin;
    int y = (unsigned char)*b.begin;
    if (fold) {
      x = toupper(x);
      y = toupper(y);
    }
    if (x != y) return x - y;
  }
}

static int compare_slices(struct Slice a, struct Slice b, const struct Ordering* ordering) {
  int order = ordering->numeric ? compare_numbers(a, b) : compare_text(a, b, ordering->fold);
  return ordering->reverse ? -order : order;
}

static int compare_keys(const char* a, const char* b) {
  for (size_t i = 0; i < key_count; i++) {
    int order = compare_slices(key_slice(a, &keys[i]), key_slice(b, &keys[i]), &keys[i].ordering);
    if (order != 0) return order;
  }
  return 0;
}

static int compare_lines(const void* left, const void* right) {
  const char* a = *(char* const*)left;
  const char* b = *(char* const*)right;
  int order = compare_keys(a, b);
  if (order != 0 || unique) return order;
  order = strcmp(a, b);  // equal keys: the whole line decides
  return global.reverse ? -order : order;
}

static bool set_ordering(struct Ordering* ordering, char letter) {
  switch (letter) {
    case 'n':
      ordering->numeric = true;
      return true;
    case 'r':
      ordering->reverse = true;
      return true;
    case 'f':
      ordering->fold = true;
      return true;
    case 'b':
      ordering->skip_blanks = true;
      return true;
    default:
      return false;
  }
}

static const char* parse_position(const char* text, size_t* field, size_t* character, const char* whole) {
  char* end;
  if (!isdigit((unsigned char)*text)) errx(kUsageError, "%s: not a key", whole);
  *field = strtoul(text, &end, 10);
  if (*field == 0) errx(kUsageError, "%s: fields are counted from 1", whole);
  if (*end != '.') return end;
  if (!isdigit((unsigned char)end[1])) errx(kUsageError, "%s: not a key", whole);
  *character = strtoul(end + 1, &end, 10);
  return end;
}

static void add_key(const char* text) {
  struct Key key = {.first_character = 1};
  const char* c = parse_position(text, &key.first_field, &key.first_character, text);
  if (key.first_character == 0) errx(kUsageError, "%s: characters are counted from 1", text);
  for (; set_ordering(&key.ordering, *c); c++) key.own_ordering = true;
  if (*c == ',') {
    c = parse_position(c + 1, &key.last_field, &key.last_character, text);
    for (; set_ordering(&key.ordering, *c); c++) key.own_ordering = true;
  }
  if (*c != '\0') errx(kUsageError, "%s: not a key", text);
  keys = reallocate(keys, (key_count + 1) * sizeof *keys);
  keys[key_count++] = key;
}

static bool read_lines(const char* path) {
  FILE* file = open_input(path);
  if (file == NULL) return false;
  char* line = NULL;
  size_t capacity = 0;
  ssize_t length;
  while ((length = getline(&line, &capacity, file)) >= 0) {
    if (length > 0 && line[length - 1] == '\n') line[length - 1] = '\0';
    if (line_count == line_capacity) {
      line_capacity = line_capacity ? line_capacity * 2 : 256;
      lines = reallocate(lines, line_capacity * sizeof *lines);
    }
    lines[line_count++] = duplicate_string(line);
  }
  free(line);
  bool ok = check_input(file, path);
  close_input(file);
  return ok;
}

static int check_order(void) {
  for (size_t i = 1; i < line_count; i++) {
    int order = compare_lines(&lines[i - 1], &lines[i]);
    if (order < 0 || (order == 0 && !unique)) continue;
    warnx("disorder: %s", lines[i]);
    return 1;
  }
  return 0;
}

int main(int argc, char** argv) {
  bool check = false;
  const char* output = NULL;
  int option;
  while ((option = getopt(argc, argv, "bcfnruk:o:t:")) != -1) {
    if (set_ordering(&global, (char)option)) continue;
    switch (option) {
      case 'c':
        check = true;
        break;
      case 'u':
        unique = true;
        break;
      case 'k':
        add_key(optarg);
        break;
      case 'o':
        output = optarg;
        break;
      case 't':
        separator = (unsigned char)optarg[0];
        break;
      default:
        usage(SYNOPSIS);
    }
  }
  if (key_count == 0) add_key("1");
  for (size_t i = 0; i < key_count; i++) {
    if (!keys[i].own_ordering) keys[i].ordering = global;
  }
  int status = for_each_operand(argc, argv, optind, read_lines);
  if (check) return status ? status : check_order();
  if (line_count > 1) qsort(lines, line_count, sizeof *lines, compare_lines);
  if (output != NULL && freopen(output, "w", stdout) == NULL) err(kUsageError, "%s", output);
  for (size_t i = 0; i < line_count; i++) {
    if (unique && i > 0 && compare_keys(lines[i - 1], lines[i]) == 0) continue;
    puts(lines[i]);
  }
  return finish_output(status);
}
