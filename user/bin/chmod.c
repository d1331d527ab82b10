// chmod: changes the modes of files. A mode is octal or like u+x,go-w,a=rX.
#include <sys/stat.h>

#include "user/bin/directory.h"

static const char* mode_text;
static mode_t mask;
static bool recursive;
static bool failed;

static mode_t bits_for(char letter, mode_t present, bool directory) {
  switch (letter) {
    case 'r':
      return 0444;
    case 'w':
      return 0222;
    case 'x':
      return 0111;
    case 'X':
      return directory || (present & 0111) != 0 ? 0111 : 0;
    case 's':
      return S_ISUID | S_ISGID;
    case 't':
      return S_ISVTX;
    default:
      return (mode_t)-1;
  }
}

static const char* parse_who(const char* text, mode_t* who) {
  *who = 0;
  for (;; text++) {
    if (*text == 'u') {
      *who |= 0700 | S_ISUID;
    } else if (*text == 'g') {
      *who |= 0070 | S_ISGID;
    } else if (*text == 'o') {
      *who |= 0007;
    } else if (*text == 'a') {
      *who |= 07777;
    } else {
      return text;
    }
  }
}

// Applies the symbolic mode to a file's present mode; false if it is no mode.
static bool apply_symbolic(const char* text, mode_t* mode, bool directory) {
  for (;;) {
    mode_t who;
    text = parse_who(text, &who);
    bool everyone = who == 0;
    if (everyone) who = 07777;
    if (strchr("+-=", *text) == NULL || *text == '\0') return false;
    while (*text == '+' || *text == '-' || *text == '=') {
      char operation = *text++;
      mode_t bits = 0;
      for (; *text != '\0' && strchr("rwxXst", *text) != NULL; text++)
        bits |= bits_for(*text, *mode, directory);
      bits &= who | S_ISVTX;
      if (everyone) bits &= ~mask;
      if (operation == '+') *mode |= bits;
      if (operation == '-') *mode &= ~bits;
      if (operation == '=') *mode = (*mode & ~(who & 0777)) | bits;
    }
    if (*text == '\0') return true;
    if (*text++ != ',') return false;
  }
}

static mode_t new_mode(mode_t present, bool directory) {
  char* end;
  unsigned long octal = strtoul(mode_text, &end, 8);
  if (*mode_text >= '0' && *mode_text <= '7' && *end == '\0' && octal <= 07777) return (mode_t)octal;
  mode_t mode = present & 07777;
  if (!apply_symbolic(mode_text, &mode, directory)) errx(kUsageError, "%s: not a mode", mode_text);
  return mode;
}

static void change(const char* path) {
  struct stat status;
  if (stat(path, &status) < 0 || chmod(path, new_mode(status.st_mode, S_ISDIR(status.st_mode))) < 0) {
    warn("%s", path);
    failed = true;
    return;
  }
  struct stat link;
  if (!recursive || !S_ISDIR(status.st_mode) || lstat(path, &link) < 0 || S_ISLNK(link.st_mode)) return;
  struct NameList list;
  if (!read_directory(path, &list)) {
    warn("%s", path);
    failed = true;
  }
  for (size_t i = 0; i < list.count; i++) {
    char* inner = join_path(path, list.names[i]);
    if (lstat(inner, &link) == 0 && !S_ISLNK(link.st_mode)) change(inner);
    free(inner);
  }
  free_names(&list);
}

int main(int argc, char** argv) {
  int i = 1;
  if (argc > 1 && strcmp(argv[1], "-R") == 0) {
    recursive = true;
    i++;
  }
  // -x and its like are modes, so getopt cannot be asked.
  if (argc - i < 2) usage("chmod [-R] mode file...");
  mode_text = argv[i++];
  mask = umask(0);
  umask(mask);
  new_mode(0, false);  // a bad mode is reported before anything changes
  for (; i < argc; i++) change(argv[i]);
  return failed ? 1 : 0;
}
