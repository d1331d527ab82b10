// ls: lists directories.
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "user/bin/directory.h"
#include "user/bin/file_mode.h"
#include "user/bin/passwd.h"

static struct {
  bool all, almost_all, long_format, inodes, recursive, directory_itself, one_column, classify, human;
} options;

struct Entry {
  const char* name;
  const char* path;
  struct stat status;
};

static bool failed;
static size_t screen_width;  // 0: the output is not a terminal

static void print_size(const struct stat* status) {
  if (S_ISCHR(status->st_mode) || S_ISBLK(status->st_mode)) {
    printf("%4u,%4u ", major(status->st_rdev), minor(status->st_rdev));
    return;
  }
  if (!options.human || status->st_size < 1024) {
    printf("%9lld ", (long long)status->st_size);
    return;
  }
  long long tenths = status->st_size * 10;
  const char* unit = "KMGT";
  for (tenths /= 1024; tenths >= 10240 && unit[1] != '\0'; unit++) tenths /= 1024;
  printf("%6lld.%lld%c ", tenths / 10, tenths % 10, *unit);
}

// Recent files are shown with the time of day, others with the year.
static void print_time(time_t when) {
  const time_t half_a_year = 182L * 24 * 60 * 60;
  time_t now = time(NULL);
  char text[32];
  bool recent = when <= now && now - when < half_a_year;
  struct tm broken;
  if (localtime_r(&when, &broken) == NULL ||
      strftime(text, sizeof text, recent ? "%b %e %H:%M" : "%b %e  %Y", &broken) == 0) {
    snprintf(text, sizeof text, "%lld", (long long)when);
  }
  printf("%s ", text);
}

static char class_letter(mode_t mode) {
  if (S_ISDIR(mode)) return '/';
  if (S_ISLNK(mode)) return '@';
  if (S_ISFIFO(mode)) return '|';
  return S_ISREG(mode) && (mode & 0111) != 0 ? '*' : '\0';
}

static void print_long(const struct Entry* entry) {
  char mode[11];
  format_mode(entry->status.st_mode, mode);
  printf("%s %3lu ", mode, (unsigned long)entry->status.st_nlink);
  printf("%-6s ", user_name(entry->status.st_uid));
  printf("%-6s ", group_name(entry->status.st_gid));
  print_size(&entry->status);
  print_time(entry->status.st_mtime);
  fputs(entry->name, stdout);
  if (S_ISLNK(entry->status.st_mode)) {
    char target[4096];
    ssize_t n = readlink(entry->path, target, sizeof target - 1);
    if (n >= 0) printf(" -> %.*s", (int)n, target);
  }
}

static void print_entry(const struct Entry* entry) {
  if (options.inodes) printf("%7llu ", (unsigned long long)entry->status.st_ino);
  if (options.long_format) {
    print_long(entry);
  } else {
    fputs(entry->name, stdout);
  }
  char letter = options.classify ? class_letter(entry->status.st_mode) : '\0';
  if (letter != '\0') putchar(letter);
}

// On a terminal names go down the columns, as many as fit.
static void print_columns(const struct Entry* entries, size_t count) {
  size_t longest = 0;
  for (size_t i = 0; i < count; i++) {
    size_t length = strlen(entries[i].name);
    if (length > longest) longest = length;
  }
  size_t width = longest + 2 + (options.classify ? 1 : 0) + (options.inodes ? 8 : 0);
  size_t columns = screen_width / width > 0 ? screen_width / width : 1;
  size_t rows = (count + columns - 1) / columns;
  for (size_t row = 0; row < rows; row++) {
    for (size_t i = row; i < count; i += rows) {
      print_entry(&entries[i]);
      if (i + rows >= count) break;
      bool letter = options.classify && class_letter(entries[i].status.st_mode) != '\0';
      size_t used = strlen(entries[i].name) + (letter ? 1 : 0) + (options.inodes ? 8 : 0);
      printf("%*s", (int)(width - used), "");
    }
    putchar('\n');
  }
}

static void print_entries(const struct Entry* entries, size_t count) {
  if (screen_width > 0 && !options.long_format && !options.one_column) {
    print_columns(entries, count);
    return;
  }
  for (size_t i = 0; i < count; i++) {
    print_entry(&entries[i]);
    putchar('\n');
  }
}

static bool fill_entry(struct Entry* entry, const char* name, const char* path) {
  entry->name = name;
  entry->path = path;
  if (lstat(path, &entry->status) == 0) return true;
  warn("%s", path);
  failed = true;
  return false;
}

static bool is_wanted(const char* name) { return name[0] != '.' || options.all || options.almost_all; }

static void list_directory(const char* path, bool with_title);

static void list_subdirectories(const struct Entry* entries, size_t count) {
  for (size_t i = 0; i < count; i++) {
    bool self = strcmp(entries[i].name, ".") == 0 || strcmp(entries[i].name, "..") == 0;
    if (!S_ISDIR(entries[i].status.st_mode) || self) continue;
    putchar('\n');
    list_directory(entries[i].path, true);
  }
}

static void list_directory(const char* path, bool with_title) {
  struct NameList list;
  if (!read_directory(path, &list)) {
    warn("%s", path);
    failed = true;
    return;
  }
  if (with_title) printf("%s:\n", path);
  struct Entry* entries = allocate((list.count + 2) * sizeof *entries);
  size_t count = 0;
  for (int i = 0; i < 2 && options.all; i++) {
    const char* name = i == 0 ? "." : "..";
    if (fill_entry(&entries[count], name, join_path(path, name))) count++;
  }
  for (size_t i = 0; i < list.count; i++) {
    if (is_wanted(list.names[i]) &&
        fill_entry(&entries[count], list.names[i], join_path(path, list.names[i])))
      count++;
  }
  print_entries(entries, count);
  if (options.recursive) list_subdirectories(entries, count);
  for (size_t i = 0; i < count; i++) free((char*)entries[i].path);
  free(entries);
  free_names(&list);
}

// Operands that are directories come after the others, each with its title.
static void list_operands(char** operands, size_t count) {
  struct Entry* files = allocate(count * sizeof *files);
  struct Entry* directories = allocate(count * sizeof *directories);
  size_t file_count = 0;
  size_t directory_count = 0;
  for (size_t i = 0; i < count; i++) {
    struct Entry entry;
    if (!fill_entry(&entry, operands[i], operands[i])) continue;
    struct stat target;
    bool follow = !options.long_format && stat(operands[i], &target) == 0 && S_ISDIR(target.st_mode);
    bool directory = S_ISDIR(entry.status.st_mode) || follow;
    if (directory && !options.directory_itself) {
      directories[directory_count++] = entry;
    } else {
      files[file_count++] = entry;
    }
  }
  print_entries(files, file_count);
  for (size_t i = 0; i < directory_count; i++) {
    if (file_count + i > 0) putchar('\n');
    list_directory(directories[i].path, count > 1 || options.recursive);
  }
  free(files);
  free(directories);
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "aAlihRd1F")) != -1) {
    switch (option) {
      case 'a':
        options.all = true;
        break;
      case 'A':
        options.almost_all = true;
        break;
      case 'l':
        options.long_format = true;
        break;
      case 'i':
        options.inodes = true;
        break;
      case 'h':
        options.human = true;
        break;
      case 'R':
        options.recursive = true;
        break;
      case 'd':
        options.directory_itself = true;
        break;
      case '1':
        options.one_column = true;
        break;
      case 'F':
        options.classify = true;
        break;
      default:
        usage("ls [-aAlihRd1F] [file...]");
    }
  }
  if (isatty(STDOUT_FILENO)) {
    struct winsize size;
    screen_width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  }
  char here[] = ".";
  char* current[] = {here};
  bool none = optind >= argc;
  list_operands(none ? current : argv + optind, none ? 1 : (size_t)(argc - optind));
  return finish_output(failed ? 1 : 0);
}
