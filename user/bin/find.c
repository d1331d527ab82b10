// find: writes the paths in a tree that pass all tests.
#include <sys/stat.h>

#include "user/bin/directory.h"
#include "user/bin/file_mode.h"
#include "user/bin/pattern.h"

#define SYNOPSIS                                                                                             \
  "find [path...] [-name pattern] [-type bcdflps] [-size [+-]n[ck]] [-newer file] [-mindepth n] [-maxdepth " \
  "n]"

static struct {
  const char* name;
  char type;
  char size_sign;  // '\0': no test of the size, '=' exactly, '+' more, '-' less
  unsigned long long size, size_unit;
  bool newer;
  struct timespec newer_than;
  unsigned long least_depth, most_depth;
} tests = {.most_depth = ~0UL};

static bool failed;

static bool size_passes(off_t size) {
  unsigned long long units = ((unsigned long long)size + tests.size_unit - 1) / tests.size_unit;
  if (tests.size_sign == '+') return units > tests.size;
  return tests.size_sign == '-' ? units < tests.size : units == tests.size;
}

static bool passes(const char* path, const struct stat* status) {
  if (tests.name != NULL && !match_pattern(tests.name, last_component(path))) return false;
  char type = file_type_letter(status->st_mode);
  if (tests.type != '\0' && (type == '-' ? 'f' : type) != tests.type) return false;
  if (tests.size_sign != '\0' && !size_passes(status->st_size)) return false;
  if (!tests.newer) return true;
  if (status->st_mtim.tv_sec != tests.newer_than.tv_sec)
    return status->st_mtim.tv_sec > tests.newer_than.tv_sec;
  return status->st_mtim.tv_nsec > tests.newer_than.tv_nsec;
}

static void visit(const char* path, unsigned long depth) {
  struct stat status;
  if (lstat(path, &status) < 0) {
    warn("%s", path);
    failed = true;
    return;
  }
  if (depth >= tests.least_depth && passes(path, &status)) puts(path);
  if (!S_ISDIR(status.st_mode) || depth >= tests.most_depth) return;
  struct NameList list;
  if (!read_directory(path, &list)) {
    warn("%s", path);
    failed = true;
    return;
  }
  for (size_t i = 0; i < list.count; i++) {
    char* inner = join_path(path, list.names[i]);
    visit(inner, depth + 1);
    free(inner);
  }
  free_names(&list);
}

static void parse_size_test(const char* text) {
  tests.size_sign = text[0] == '+' || text[0] == '-' ? text[0] : '=';
  if (tests.size_sign != '=') text++;
  char* end;
  tests.size = strtoull(text, &end, 10);
  tests.size_unit = *end == 'c' ? 1 : *end == 'k' ? 1024 : 512;
  if (end == text || (*end != '\0' && end[1] != '\0') || strchr("ck", *end) == NULL) usage(SYNOPSIS);
}

static void parse_test(const char* name, const char* value) {
  if (value == NULL) usage(SYNOPSIS);
  if (strcmp(name, "-name") == 0) {
    tests.name = value;
  } else if (strcmp(name, "-type") == 0) {
    if (value[0] == '\0' || value[1] != '\0' || strchr("bcdflps", value[0]) == NULL) usage(SYNOPSIS);
    tests.type = value[0];
  } else if (strcmp(name, "-size") == 0) {
    parse_size_test(value);
  } else if (strcmp(name, "-newer") == 0) {
    struct stat status;
    if (stat(value, &status) < 0) err(1, "%s", value);
    tests.newer = true;
    tests.newer_than = status.st_mtim;
  } else if (strcmp(name, "-mindepth") == 0) {
    tests.least_depth = parse_size(value);
  } else if (strcmp(name, "-maxdepth") == 0) {
    tests.most_depth = parse_size(value);
  } else {
    usage(SYNOPSIS);
  }
}

int main(int argc, char** argv) {
  int paths = 1;
  while (paths < argc && argv[paths][0] != '-') paths++;
  for (int i = paths; i < argc; i++) {
    if (strcmp(argv[i], "-print") == 0) continue;
    parse_test(argv[i], argv[i + 1]);
    i++;
  }
  if (paths == 1) visit(".", 0);
  for (int i = 1; i < paths; i++) visit(argv[i], 0);
  return finish_output(failed ? 1 : 0);
}
