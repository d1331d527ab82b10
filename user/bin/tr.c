// tr: replaces, deletes or squeezes characters.
#include <ctype.h>

#include "user/bin/common.h"
#include "user/bin/escape.h"

#define SYNOPSIS "tr [-cds] set1 [set2]"

struct Set {
  unsigned char members[4096];
  size_t count;
};

static const struct {
  const char* name;
  int (*contains)(int c);
} kClasses[] = {
    {"alnum", isalnum}, {"alpha", isalpha}, {"blank", isblank}, {"cntrl", iscntrl},
    {"digit", isdigit}, {"graph", isgraph}, {"lower", islower}, {"print", isprint},
    {"punct", ispunct}, {"space", isspace}, {"upper", isupper}, {"xdigit", isxdigit},
};

static void add_member(struct Set* set, int c) {
  if (set->count == sizeof set->members) errx(kUsageError, "a set is too long");
  set->members[set->count++] = (unsigned char)c;
}

// Takes "[:name:]" at `text`; returns what follows, or NULL if it is something else.
static const char* add_class(struct Set* set, const char* text) {
  if (strncmp(text, "[:", 2) != 0) return NULL;
  const char* end = strstr(text + 2, ":]");
  if (end == NULL) return NULL;
  size_t length = (size_t)(end - text - 2);
  for (size_t i = 0; i < sizeof kClasses / sizeof kClasses[0]; i++) {
    if (strlen(kClasses[i].name) != length || strncmp(kClasses[i].name, text + 2, length) != 0) continue;
    for (int c = 0; c < 256; c++) {
      if (kClasses[i].contains(c)) add_member(set, c);
    }
    return end + 2;
  }
  errx(kUsageError, "%.*s: unknown class", (int)length, text + 2);
}

static int take_character(const char** text) {
  int c = (unsigned char)*(*text)++;
  if (c != '\\' || **text == '\0') return c;
  c = decode_escape(text);
  return c < 0 ? 'c' : c;
}

static void parse_set(struct Set* set, const char* text) {
  while (*text != '\0') {
    const char* rest = add_class(set, text);
    if (rest != NULL) {
      text = rest;
      continue;
    }
    int low = take_character(&text);
    int high = low;
    if (text[0] == '-' && text[1] != '\0') {
      text++;
      high = take_character(&text);
      if (high < low) errx(kUsageError, "%c-%c: the range is backwards", low, high);
    }
    for (int c = low; c <= high; c++) add_member(set, c);
  }
}

static void complement(struct Set* set) {
  bool in[256] = {false};
  for (size_t i = 0; i < set->count; i++) in[set->members[i]] = true;
  set->count = 0;
  for (int c = 0; c < 256; c++) {
    if (!in[c]) add_member(set, c);
  }
}

int main(int argc, char** argv) {
  bool delete = false;
  bool squeeze = false;
  bool inverted = false;
  int option;
  while ((option = getopt(argc, argv, "+cCds")) != -1) {
    if (option == '?') usage(SYNOPSIS);
    if (option == 'd') delete = true;
    if (option == 's') squeeze = true;
    if (option == 'c' || option == 'C') inverted = true;
  }
  int sets = argc - optind;
  bool translate = !delete && sets == 2;
  if (sets < 1 || sets > 2 || (delete && sets != 1 + squeeze) || (!delete && !squeeze && sets != 2))
    usage(SYNOPSIS);
  static struct Set first, second;
  parse_set(&first, argv[optind]);
  if (inverted) complement(&first);
  if (sets == 2) parse_set(&second, argv[optind + 1]);
  if (translate && second.count == 0) errx(kUsageError, "set2 is empty");

  unsigned char map[256];
  bool deleted[256] = {false};
  bool squeezed[256] = {false};
  for (int c = 0; c < 256; c++) map[c] = (unsigned char)c;
  for (size_t i = 0; i < first.count; i++) {
    // The last character of a shorter second set stands for the rest of the first.
    if (translate) map[first.members[i]] = second.members[i < second.count ? i : second.count - 1];
    if (delete) deleted[first.members[i]] = true;
  }
  const struct Set* last = sets == 2 ? &second : &first;
  for (size_t i = 0; squeeze && i < last->count; i++) squeezed[last->members[i]] = true;

  int c;
  int previous = -1;
  while ((c = getchar()) != EOF) {
    if (deleted[c]) continue;
    c = map[c];
    if (squeezed[c] && c == previous) continue;
    putchar(c);
    previous = c;
  }
  return finish_output(check_input(stdin, "standard input") ? 0 : 1);
}
