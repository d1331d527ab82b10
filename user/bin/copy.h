// Copying files and trees, for cp and for mv across file systems.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include "user/bin/directory.h"

struct CopyOptions {
  bool recursive;
  bool preserve;  // mode and times
  bool force;     // replace what cannot be written
  // The first directory that was made, once there is one. Meeting it again means copying a tree into
  // itself, which would not end.
  bool has_root;
  dev_t root_device;
  ino_t root_inode;
};

static inline bool copy_complain(const char* path) {
  warn("%s", path);
  return false;
}

static inline bool copy_bytes(int from, int to, const char* from_path, const char* to_path) {
  static char buffer[65536];
  for (;;) {
    ssize_t n = read(from, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return copy_complain(from_path);
    if (n == 0) return true;
    if (!write_fully(to, buffer, (size_t)n)) return copy_complain(to_path);
  }
}

static inline bool copy_regular(const char* from_path, const char* to_path, const struct stat* status,
                                struct CopyOptions* options) {
  struct stat existing;
  if (stat(to_path, &existing) == 0 && existing.st_dev == status->st_dev &&
      existing.st_ino == status->st_ino) {
    warnx("%s and %s are the same file", from_path, to_path);
    return false;
  }
  int from = open(from_path, O_RDONLY);
  if (from < 0) return copy_complain(from_path);
  int to = open(to_path, O_WRONLY | O_CREAT | O_TRUNC, status->st_mode & 0777);
  if (to < 0 && options->force && unlink(to_path) == 0) {
    to = open(to_path, O_WRONLY | O_CREAT | O_EXCL, status->st_mode & 0777);
  }
  if (to < 0) {
    copy_complain(to_path);
    close(from);
    return false;
  }
  bool ok = copy_bytes(from, to, from_path, to_path);
  if (options->preserve) {
    struct timespec times[2] = {status->st_atim, status->st_mtim};
    fchmod(to, status->st_mode & 07777);
    futimens(to, times);
  }
  close(from);
  if (close(to) < 0) return copy_complain(to_path);
  return ok;
}

static inline bool copy_link(const char* from_path, const char* to_path) {
  char target[4097];
  ssize_t n = readlink(from_path, target, sizeof target - 1);
  if (n < 0) return copy_complain(from_path);
  target[n] = '\0';
  return symlink(target, to_path) == 0 || copy_complain(to_path);
}

static inline bool copy_path(const char* from, const char* to, struct CopyOptions* options);

static inline bool copy_directory(const char* from, const char* to, const struct stat* status,
                                  struct CopyOptions* options) {
  if (options->has_root && status->st_dev == options->root_device && status->st_ino == options->root_inode) {
    warnx("%s: not copied into itself", to);
    return false;
  }
  struct NameList list;
  if (!read_directory(from, &list)) return copy_complain(from);
  struct stat made;
  // Writable for the owner while it is filled.
  bool ok = mkdir(to, (status->st_mode & 0777) | 0700) == 0 || errno == EEXIST || copy_complain(to);
  ok = ok && (stat(to, &made) == 0 || copy_complain(to));
  if (ok && !options->has_root) {
    options->has_root = true;
    options->root_device = made.st_dev;
    options->root_inode = made.st_ino;
  }
  bool made_it = ok;
  for (size_t i = 0; made_it && i < list.count; i++) {
    char* inner_from = join_path(from, list.names[i]);
    char* inner_to = join_path(to, list.names[i]);
    ok = copy_path(inner_from, inner_to, options) && ok;
    free(inner_from);
    free(inner_to);
  }
  free_names(&list);
  if (options->preserve) chmod(to, status->st_mode & 07777);
  return ok;
}

// Copies a file, or with options->recursive a tree, to exactly the path `to`. Reports its errors.
static inline bool copy_path(const char* from, const char* to, struct CopyOptions* options) {
  struct stat status;
  int found = options->recursive ? lstat(from, &status) : stat(from, &status);
  if (found < 0) return copy_complain(from);
  if (S_ISLNK(status.st_mode)) return copy_link(from, to);
  if (!S_ISDIR(status.st_mode)) return copy_regular(from, to, &status, options);
  if (options->recursive) return copy_directory(from, to, &status, options);
  warnx("%s: is a directory (-r copies it)", from);
  return false;
}

static inline bool is_existing_directory(const char* path) {
  struct stat status;
  return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

// The path that `from` gets when the operand after it is `to`: inside, if `to` is a directory. To be freed.
static inline char* destination_path(const char* from, const char* to) {
  if (!is_existing_directory(to)) return duplicate_string(to);
  char* trimmed = duplicate_string(from);
  for (size_t n = strlen(trimmed); n > 1 && trimmed[n - 1] == '/'; n--) trimmed[n - 1] = '\0';
  char* path = join_path(to, last_component(trimmed));
  free(trimmed);
  return path;
}
