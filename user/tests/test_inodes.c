// What stands in an inode beside its contents: the three times after every call that moves them, and the
// group that files get from their directory.
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/pages.h"
#include "common/tap.h"

// The times that a call has moved, as letters: a(ccess), m(odification), c(hange).
struct times {
  struct timespec access, modification, change;
};

static struct times times_of(const char* path) {
  struct stat info;
  REQUIRE(lstat(path, &info) == 0);
  return (struct times){info.st_atim, info.st_mtim, info.st_ctim};
}

static bool later(struct timespec a, struct timespec b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

static const char* moved(struct times before, struct times after) {
  static char letters[4];
  char* at = letters;
  if (later(after.access, before.access)) *at++ = 'a';
  if (later(after.modification, before.modification)) *at++ = 'm';
  if (later(after.change, before.change)) *at++ = 'c';
  *at = 0;
  return letters;
}

// A kernel may read a clock that moves in steps of some milliseconds: until a new file's time is another one.
static void next_tick(void) {
  struct times first, now;
  close(creat(tap_path("tick"), 0600));
  first = times_of(tap_path("tick"));
  do {
    unlink(tap_path("tick"));
    close(creat(tap_path("tick"), 0600));
    now = times_of(tap_path("tick"));
  } while (!later(now.change, first.change));
}

#define CHECK_MOVES(path, expected, call)                                           \
  do {                                                                              \
    char watched[256];                                                              \
    strcpy(watched, path);                                                          \
    struct times before = times_of(watched);                                        \
    next_tick();                                                                    \
    CHECK_OK(call);                                                                 \
    const char* letters = moved(before, times_of(watched));                         \
    if (strcmp(letters, expected) != 0)                                             \
      FAIL("%s moves \"%s\" of %s, not \"%s\"", #call, letters, watched, expected); \
  } while (0)

TEST(contents, "writing and changing the size move the times of modification and change") {
  int fd = create_file(tap_path("file"), "0123456789", 10);
  CHECK_MOVES(tap_path("file"), "mc", write(fd, "x", 1));
  CHECK_MOVES(tap_path("file"), "mc", pwrite(fd, "x", 1, 20000));
  CHECK_MOVES(tap_path("file"), "mc", ftruncate(fd, 5));
  CHECK_MOVES(tap_path("file"), "mc", ftruncate(fd, 50));
  CHECK_MOVES(tap_path("file"), "mc", open(tap_path("file"), O_WRONLY | O_TRUNC));
  CHECK_MOVES(tap_path("file"), "", write(fd, "x", 0));
  CHECK_MOVES(tap_path("file"), "", fsync(fd));
}

TEST(attributes, "changing attributes moves the time of change alone") {
  int fd = create_file(tap_path("file"), "", 0);
  CHECK_MOVES(tap_path("file"), "c", fchmod(fd, 0600));
  CHECK_MOVES(tap_path("file"), "c", chmod(tap_path("file"), 0644));
  CHECK_MOVES(tap_path("file"), "c", fchown(fd, getuid(), getgid()));
  struct timespec past[2] = {{1000, 1}, {2000, 2}};
  CHECK_MOVES(tap_path("file"), "c", futimens(fd, past));
  struct times now = times_of(tap_path("file"));
  CHECK_EQ(now.access.tv_sec, 1000);
  CHECK_EQ(now.modification.tv_sec, 2000);
}

TEST(names,
     "a name that comes or goes moves its directory's modification and change, and the file's change") {
  char directory[256], path[256], other[256];
  strcpy(directory, tap_path("directory"));
  CHECK_OK(mkdir(directory, 0755));
  snprintf(path, sizeof path, "%s/file", directory);
  snprintf(other, sizeof other, "%s/other", directory);
  CHECK_MOVES(directory, "mc", close(creat(path, 0600)));
  CHECK_MOVES(path, "c", link(path, other));
  CHECK_MOVES(directory, "mc", unlink(other));
  CHECK_MOVES(path, "c", link(path, other));
  CHECK_MOVES(path, "c", unlink(other));
  CHECK_MOVES(directory, "mc", link(path, other));
  CHECK_MOVES(directory, "mc", rename(other, path) == 0 ? unlink(other) : -1);
  CHECK_MOVES(directory, "mc", rename(path, other));
  struct times before_rename = times_of(other);
  next_tick();
  CHECK_OK(rename(other, path));
  CHECK(strcmp(moved(before_rename, times_of(path)), "c") == 0);
  CHECK_MOVES(directory, "mc", symlink("target", other));
  CHECK_MOVES(directory, "mc", unlink(other));
  CHECK_MOVES(directory, "mc", mkdir(other, 0755));
  CHECK_MOVES(directory, "mc", rmdir(other));
  CHECK_MOVES(directory, "mc", mkfifo(other, 0600));
  CHECK_MOVES(directory, "mc", unlink(other));
}

TEST(replaced,
     "a rename that replaces moves the times of both directories and the change of what is replaced") {
  char from[256], to[256], moving[256], target[256], kept[256];
  strcpy(from, tap_path("from"));
  strcpy(to, tap_path("to"));
  CHECK_OK(mkdir(from, 0755));
  CHECK_OK(mkdir(to, 0755));
  snprintf(moving, sizeof moving, "%s/file", from);
  snprintf(target, sizeof target, "%s/file", to);
  snprintf(kept, sizeof kept, "%s/kept", to);
  close(creat(moving, 0600));
  close(creat(target, 0600));
  CHECK_OK(link(target, kept));
  struct times from_before = times_of(from), to_before = times_of(to), kept_before = times_of(kept);
  next_tick();
  CHECK_OK(rename(moving, target));
  CHECK(strcmp(moved(from_before, times_of(from)), "mc") == 0);
  CHECK(strcmp(moved(to_before, times_of(to)), "mc") == 0);
  CHECK(strcmp(moved(kept_before, times_of(kept)), "c") == 0);
}

TEST(mapping, "a write through a shared mapping has moved the times when msync returns") {
  int fd = create_file(tap_path("file"), "0123456789", 10);
  char* at = (char*)mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  REQUIRE(at != MAP_FAILED);
  CHECK_MOVES(tap_path("file"), "mc", (at[0] = 'x', msync(at, page_size, MS_SYNC)));
}

TEST(set_group, "in a set-group directory files get its group, and directories pass that on") {
  char directory[256], path[300];
  strcpy(directory, tap_path("directory"));
  CHECK_OK(mkdir(directory, 0755));
  if (chown(directory, (uid_t)-1, 4321) != 0) SKIP("this user may not give a directory another group");
  CHECK_OK(chmod(directory, 02775));
  struct stat info;
  snprintf(path, sizeof path, "%s/file", directory);
  close(creat(path, 0644));
  CHECK_OK(stat(path, &info));
  CHECK_EQ(info.st_gid, 4321);
  CHECK_EQ(info.st_mode & 07777, 0644);
  snprintf(path, sizeof path, "%s/link", directory);
  CHECK_OK(symlink("target", path));
  CHECK_OK(lstat(path, &info));
  CHECK_EQ(info.st_gid, 4321);
  snprintf(path, sizeof path, "%s/sub", directory);
  CHECK_OK(mkdir(path, 0755));
  CHECK_OK(stat(path, &info));
  CHECK_EQ(info.st_gid, 4321);
  CHECK_EQ(info.st_mode & 07777, 02755);
  CHECK_OK(chmod(directory, 0775));
  snprintf(path, sizeof path, "%s/later", directory);
  close(creat(path, 0644));
  CHECK_OK(stat(path, &info));
  CHECK_EQ(info.st_gid, getegid());
}
