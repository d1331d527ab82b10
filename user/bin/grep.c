// grep: writes the lines that match a pattern. Status 0 if there is one, 1 if not, 2 after an error.
#include <ctype.h>
#include <regex.h>
#include <sys/stat.h>

#include "user/bin/common.h"
#include "user/bin/directory.h"

enum { kNoMatch = 1, kFailure = 2 };

static struct {
  bool invert, ignore_case, numbers, count, quiet, names_only, whole_line, fixed, recursive, silent;
  int show_names;  // -1: only when there are several files
  int flags;
} options = {.show_names = -1};

static struct {
  regex_t* compiled;
  const char** texts;
  size_t count;
} patterns;

static bool matched_any;
static bool failed;

static void add_pattern(const char* text) {
  patterns.texts = reallocate(patterns.texts, (patterns.count + 1) * sizeof *patterns.texts);
  patterns.texts[patterns.count++] = text;
}

static void compile_patterns(void) {
  patterns.compiled = allocate(patterns.count * sizeof *patterns.compiled);
  if (options.ignore_case) options.flags |= REG_ICASE;
  for (size_t i = 0; i < patterns.count && !options.fixed; i++) {
    int error = regcomp(&patterns.compiled[i], patterns.texts[i], options.flags);
    if (error == 0) continue;
    char message[128];
    regerror(error, &patterns.compiled[i], message, sizeof message);
    errx(kFailure, "%s: %s", patterns.texts[i], message);
  }
}

static bool fixed_matches(const char* line, const char* text) {
  if (options.whole_line) return (options.ignore_case ? strcasecmp(line, text) : strcmp(line, text)) == 0;
  return (options.ignore_case ? strcasestr(line, text) : strstr(line, text)) != NULL;
}

static bool line_matches(const char* line) {
  for (size_t i = 0; i < patterns.count; i++) {
    if (options.fixed) {
      if (fixed_matches(line, patterns.texts[i])) return true;
      continue;
    }
    regmatch_t match;
    if (regexec(&patterns.compiled[i], line, 1, &match, 0) != 0) continue;
    if (!options.whole_line || (match.rm_so == 0 && line[match.rm_eo] == '\0')) return true;
  }
  return false;
}

static void search_file(FILE* file, const char* path) {
  char* line = NULL;
  size_t capacity = 0;
  unsigned long number = 0;
  unsigned long count = 0;
  ssize_t length;
  while ((length = getline(&line, &capacity, file)) >= 0) {
    number++;
    if (length > 0 && line[length - 1] == '\n') line[length - 1] = '\0';
    if (line_matches(line) == options.invert) continue;
    count++;
    if (options.quiet || options.names_only) break;
    if (options.count) continue;
    if (options.show_names > 0) printf("%s:", path);
    if (options.numbers) printf("%lu:", number);
    puts(line);
  }
  free(line);
  if (count > 0) matched_any = true;
  if (!check_input(file, path)) failed = true;
  if (options.quiet) return;
  if (options.names_only) {
    if (count > 0) puts(path);
  } else if (options.count) {
    if (options.show_names > 0) printf("%s:", path);
    printf("%lu\n", count);
  }
}

static void search_path(const char* path) {
  struct stat status;
  if (strcmp(path, "-") != 0 && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
    struct NameList list;
    if (!options.recursive) {
      errno = EISDIR;
    } else if (read_directory(path, &list)) {
      for (size_t i = 0; i < list.count; i++) {
        char* inner = join_path(path, list.names[i]);
        search_path(inner);
        free(inner);
      }
      free_names(&list);
      return;
    }
    if (!options.silent) warn("%s", path);
    failed = true;
    return;
  }
  FILE* file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
  if (file == NULL) {
    if (!options.silent) warn("%s", path);
    failed = true;
    return;
  }
  search_file(file, strcmp(path, "-") == 0 ? "(standard input)" : path);
  close_input(file);
}

static void parse_options(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "EFGHchie:lnqrsvx")) != -1) {
    switch (option) {
      case 'E':
        options.flags |= REG_EXTENDED;
        break;
      case 'F':
        options.fixed = true;
        break;
      case 'G':
        options.flags &= ~REG_EXTENDED;
        break;
      case 'H':
        options.show_names = 1;
        break;
      case 'c':
        options.count = true;
        break;
      case 'h':
        options.show_names = 0;
        break;
      case 'i':
        options.ignore_case = true;
        break;
      case 'e':
        add_pattern(optarg);
        break;
      case 'l':
        options.names_only = true;
        break;
      case 'n':
        options.numbers = true;
        break;
      case 'q':
        options.quiet = true;
        break;
      case 'r':
        options.recursive = true;
        break;
      case 's':
        options.silent = true;
        break;
      case 'v':
        options.invert = true;
        break;
      case 'x':
        options.whole_line = true;
        break;
      default:
        usage("grep [-EFchHilnqrsvx] [-e pattern | pattern] [file...]");
    }
  }
}

int main(int argc, char** argv) {
  parse_options(argc, argv);
  if (patterns.count == 0) {
    if (optind >= argc) usage("grep [-EFchHilnqrsvx] [-e pattern | pattern] [file...]");
    add_pattern(argv[optind++]);
  }
  compile_patterns();
  if (options.show_names < 0) options.show_names = argc - optind > 1 || options.recursive;
  if (optind >= argc) search_path(options.recursive ? "." : "-");
  for (int i = optind; i < argc; i++) search_path(argv[i]);
  int status = matched_any ? 0 : kNoMatch;
  if (failed && !(options.quiet && matched_any)) status = kFailure;
  return finish_output(status);
}
