// rm: removes files, and with -r directories and what is in them.
#include <sys/stat.h>

#include "user/bin/directory.h"

static bool force;
static bool recursive;

static bool complain(const char* path) {
  warn("%s", path);
  return false;
}

static bool remove_path(const char* path) {
  struct stat status;
  if (lstat(path, &status) < 0) return (force && errno == ENOENT) || complain(path);
  if (!S_ISDIR(status.st_mode)) return unlink(path) == 0 || complain(path);
  if (!recursive) {
    errno = EISDIR;
    return complain(path);
  }
  struct NameList list;
  if (!read_directory(path, &list)) return complain(path);
  bool ok = true;
  for (size_t i = 0; i < list.count; i++) {
    char* inner = join_path(path, list.names[i]);
    ok = remove_path(inner) && ok;
    free(inner);
  }
  free_names(&list);
  return ok && (rmdir(path) == 0 || complain(path));
}

static bool is_refused(const char* path) {
  const char* name = strrchr(path, '/');
  name = name != NULL ? name + 1 : path;
  bool itself = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
  bool root = path[0] == '/' && path[strspn(path, "/")] == '\0';
  if (!itself && !root) return false;
  warnx("%s: refusing to remove it", path);
  return true;
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "rRf")) != -1) {
    if (option == '?') usage("rm [-rf] file...");
    if (option == 'f') force = true;
    if (option == 'r' || option == 'R') recursive = true;
  }
  if (optind >= argc && !force) usage("rm [-rf] file...");
  int status = 0;
  for (int i = optind; i < argc; i++) {
    if (is_refused(argv[i]) || !remove_path(argv[i])) status = 1;
  }
  return status;
}
