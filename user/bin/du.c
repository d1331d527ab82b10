// du: how much disk space trees take.
#include <sys/stat.h>

#include "user/bin/directory.h"

static bool show_files, only_total, in_mebibytes;
static bool failed;

// Files with several links, which count once.
struct Seen {
  dev_t device;
  ino_t inode;
};
static struct Seen* seen;
static size_t seen_count;

static bool is_new(const struct stat* status) {
  if (S_ISDIR(status->st_mode) || status->st_nlink < 2) return true;
  for (size_t i = 0; i < seen_count; i++) {
    if (seen[i].device == status->st_dev && seen[i].inode == status->st_ino) return false;
  }
  seen = reallocate(seen, (seen_count + 1) * sizeof *seen);
  seen[seen_count++] = (struct Seen){status->st_dev, status->st_ino};
  return true;
}

static void print_line(unsigned long long blocks, const char* path) {
  unsigned long long unit = in_mebibytes ? 2048 : 2;  // blocks are of 512 bytes
  printf("%llu\t%s\n", (blocks + unit - 1) / unit, path);
}

static unsigned long long measure(const char* path, bool operand) {
  struct stat status;
  if (lstat(path, &status) < 0) {
    warn("%s", path);
    failed = true;
    return 0;
  }
  if (!is_new(&status)) return 0;
  unsigned long long blocks = (unsigned long long)status.st_blocks;
  bool directory = S_ISDIR(status.st_mode);
  if (directory) {
    struct NameList list;
    if (!read_directory(path, &list)) {
      warn("%s", path);
      failed = true;
    }
    for (size_t i = 0; i < list.count; i++) {
      char* inner = join_path(path, list.names[i]);
      blocks += measure(inner, false);
      free(inner);
    }
    free_names(&list);
  }
  if (operand || (!only_total && (directory || show_files))) print_line(blocks, path);
  return blocks;
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "askm")) != -1) {
    if (option == '?') usage("du [-a | -s] [-k | -m] [file...]");
    if (option == 'a') show_files = true;
    if (option == 's') only_total = true;
    if (option == 'm') in_mebibytes = true;
  }
  if (optind >= argc) measure(".", true);
  for (int i = optind; i < argc; i++) measure(argv[i], true);
  return finish_output(failed ? 1 : 0);
}
