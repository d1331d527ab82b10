// mv: renames files and directories.
#include "user/bin/copy.h"

static bool remove_tree(const char* path) {
  struct stat status;
  if (lstat(path, &status) < 0) return copy_complain(path);
  if (!S_ISDIR(status.st_mode)) return unlink(path) == 0 || copy_complain(path);
  struct NameList list;
  if (!read_directory(path, &list)) return copy_complain(path);
  bool ok = true;
  for (size_t i = 0; i < list.count; i++) {
    char* inner = join_path(path, list.names[i]);
    ok = remove_tree(inner) && ok;
    free(inner);
  }
  free_names(&list);
  return ok && (rmdir(path) == 0 || copy_complain(path));
}

static bool move(const char* from, const char* to) {
  if (rename(from, to) == 0) return true;
  if (errno != EXDEV) {
    warn("%s to %s", from, to);
    return false;
  }
  struct CopyOptions options = {.recursive = true, .preserve = true, .force = true};
  return copy_path(from, to, &options) && remove_tree(from);
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "f")) != -1) {
    if (option == '?') usage("mv [-f] file... destination");
  }
  if (argc - optind < 2) usage("mv [-f] file... destination");
  const char* to = argv[argc - 1];
  if (argc - optind > 2 && !is_existing_directory(to)) errx(1, "%s: %s", to, strerror(ENOTDIR));
  int status = 0;
  for (int i = optind; i < argc - 1; i++) {
    char* path = destination_path(argv[i], to);
    if (!move(argv[i], path)) status = 1;
    free(path);
  }
  return status;
}
