// Names: directories, links, symbolic links, rename, and the walk from a path to a file.
#include <dirent.h>
#include <limits.h>
#include <sys/syscall.h>

#include "common/pages.h"

static ino_t inode_of(const char* path) {
  struct stat info;
  if (lstat(path, &info) != 0) {
    FAIL("lstat %s: %s", path, strerrorname_np(errno));
    return 0;
  }
  return info.st_ino;
}

static long links_of(const char* path) {
  struct stat info;
  return lstat(path, &info) == 0 ? (long)info.st_nlink : -1;
}

static bool exists(const char* path) {
  struct stat info;
  return lstat(path, &info) == 0;
}

static void make_file(const char* path, const char* content) {
  close(create_file(path, content, strlen(content)));
}

static void expect_file(const char* path, const char* want) {
  char got[64] = "";
  int fd = open(path, O_RDONLY);
  ssize_t n = fd < 0 ? -1 : read(fd, got, sizeof got - 1);
  close(fd);
  if (n < 0 || strcmp(got, want) != 0) FAIL("%s holds \"%s\", expected \"%s\"", path, got, want);
}

// Makes the case's directory the current one, so that names are short.
static void enter_scratch(void) {
  tap_path("");
  REQUIRE(chdir(tap_scratch) == 0);
}

static int count_entries(const char* path) {
  DIR* directory = opendir(path);
  if (!directory) return -1;
  int count = 0;
  while (readdir(directory)) count++;
  closedir(directory);
  return count;
}

TEST(make_and_remove, "mkdir and rmdir make and remove empty directories, and say why they cannot") {
  enter_scratch();
  CHECK_EQ(mkdir("a", 0755), 0);
  CHECK_EQ(count_entries("a"), 2);
  CHECK_EQ(links_of("a"), 2);
  CHECK_ERR(mkdir("a", 0755), EEXIST);
  CHECK_EQ(mkdir("a/b/", 0755), 0);
  CHECK_EQ(links_of("a"), 3);
  CHECK_ERR(rmdir("a"), ENOTEMPTY);
  CHECK_ERR(mkdir("x/y", 0755), ENOENT);
  make_file("file", "");
  CHECK_ERR(rmdir("file"), ENOTDIR);
  CHECK_ERR(mkdir("file", 0755), EEXIST);
  CHECK_ERR(mkdir("file/x", 0755), ENOTDIR);
  CHECK_ERR(rmdir("a/b/."), EINVAL);
  CHECK_ERR(rmdir("a/b/.."), ENOTEMPTY);
  CHECK_ERR(unlink("a"), EISDIR);
  CHECK_EQ(rmdir("a/b"), 0);
  CHECK_EQ(links_of("a"), 2);
  CHECK_EQ(rmdir("a"), 0);
  CHECK_ERR(rmdir("a"), ENOENT);
}

TEST(current, "the current directory is followed through relative names, renames and its own removal") {
  enter_scratch();
  char path[PATH_MAX], want[PATH_MAX];
  CHECK_EQ(mkdir("a", 0755), 0);
  CHECK_EQ(mkdir("a/b", 0755), 0);
  CHECK_EQ(chdir("a/b"), 0);
  snprintf(want, sizeof want, "%s/a/b", tap_scratch);
  CHECK(getcwd(path, sizeof path) && strcmp(path, want) == 0);
  CHECK_ERR(syscall(SYS_getcwd, path, 2), ERANGE);
  CHECK_EQ(chdir("../../a"), 0);
  CHECK_EQ(rename("b", "c"), 0);
  CHECK_EQ(chdir("c"), 0);
  CHECK_EQ(rmdir("../c"), 0);
  CHECK_ERR(open("file", O_RDWR | O_CREAT, 0644), ENOENT);
  CHECK_EQ(chdir(".."), 0);
  CHECK_ERR(chdir("c"), ENOENT);
  make_file("file", "");
  CHECK_ERR(chdir("file"), ENOTDIR);
  int fd = open("/", O_RDONLY | O_DIRECTORY);
  CHECK_EQ(fchdir(fd), 0);
  CHECK(getcwd(path, sizeof path) && strcmp(path, "/") == 0);
  CHECK_EQ(inode_of("/.."), inode_of("/"));
}

TEST(hard_links, "a second name is the same file until the last name is gone") {
  enter_scratch();
  make_file("first", "content");
  CHECK_EQ(link("first", "second"), 0);
  CHECK_EQ(links_of("first"), 2);
  CHECK_EQ(inode_of("first"), inode_of("second"));
  CHECK_ERR(link("first", "second"), EEXIST);
  CHECK_ERR(link("missing", "third"), ENOENT);
  CHECK_EQ(unlink("first"), 0);
  expect_file("second", "content");
  CHECK_EQ(links_of("second"), 1);
  CHECK_EQ(mkdir("directory", 0755), 0);
  CHECK_ERR(link("directory", "other"), EPERM);
  CHECK_ERR(unlink("first"), ENOENT);
}

TEST(symbolic_links,
     "a symbolic link is followed, read, removed and replaced as itself, short or long, dangling or not") {
  enter_scratch();
  make_file("file", "content");
  CHECK_EQ(symlink("file", "link"), 0);
  expect_file("link", "content");
  char target[300];
  CHECK_EQ(readlink("link", target, sizeof target), 4);
  CHECK_EQ(readlink("link", target, 2), 2);
  CHECK_ERR(readlink("file", target, sizeof target), EINVAL);
  CHECK_ERR(symlink("x", "link"), EEXIST);
  char longer[256];
  memset(longer, 'n', 200);
  longer[200] = '\0';
  CHECK_EQ(symlink(longer, "long"), 0);
  CHECK_EQ(readlink("long", target, sizeof target), 200);
  CHECK(memcmp(longer, target, 200) == 0);
  struct stat info;
  CHECK_EQ(lstat("long", &info), 0);
  CHECK(S_ISLNK(info.st_mode) && info.st_size == 200);
  CHECK_ERR(stat("long", &info), ENOENT);
  CHECK_ERR(open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
  CHECK_EQ(symlink("made", "dangling"), 0);
  CHECK_ERR(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
  make_file("dangling", "through");
  expect_file("made", "through");
  CHECK_EQ(unlink("link"), 0);
  expect_file("file", "content");
  CHECK_ERR(symlink("", "empty"), ENOENT);
}

TEST(link_walk,
     "symbolic links in the middle of a path are followed, absolute or relative, and a loop is ELOOP") {
  enter_scratch();
  CHECK_EQ(mkdir("a", 0755), 0);
  CHECK_EQ(mkdir("a/b", 0755), 0);
  make_file("a/b/file", "deep");
  CHECK_EQ(symlink("a/b", "relative"), 0);
  expect_file("relative/file", "deep");
  CHECK_EQ(symlink("../../a", "a/b/up"), 0);
  expect_file("relative/up/b/file", "deep");
  CHECK_EQ(symlink(tap_path("a"), "absolute"), 0);
  expect_file("absolute/b/file", "deep");
  CHECK_EQ(symlink("loop2", "loop1"), 0);
  CHECK_EQ(symlink("loop1", "loop2"), 0);
  CHECK_ERR(open("loop1", O_RDONLY), ELOOP);
  CHECK_ERR(open("loop1/x", O_RDONLY), ELOOP);
  char from[16], to[16] = "a";
  for (int i = 0; i < 30; i++) {
    snprintf(from, sizeof from, "s%d", i);
    CHECK_EQ(symlink(to, from), 0);
    snprintf(to, sizeof to, "s%d", i);
  }
  expect_file("s29/b/file", "deep");
}

TEST(rename_files, "rename moves a file, over another too, and over itself does nothing") {
  enter_scratch();
  make_file("one", "1");
  make_file("two", "2");
  ino_t inode = inode_of("one");
  CHECK_EQ(rename("one", "two"), 0);
  CHECK(!exists("one"));
  expect_file("two", "1");
  CHECK_EQ(inode_of("two"), inode);
  CHECK_EQ(links_of("two"), 1);
  CHECK_EQ(rename("two", "two"), 0);
  CHECK_EQ(link("two", "same"), 0);
  CHECK_EQ(rename("two", "same"), 0);
  CHECK(exists("two") && exists("same"));
  CHECK_ERR(rename("missing", "two"), ENOENT);
  CHECK_ERR(rename("two", "missing/two"), ENOENT);
  CHECK_EQ(symlink("two", "link"), 0);
  CHECK_EQ(rename("link", "moved"), 0);
  char target[8];
  CHECK_EQ(readlink("moved", target, sizeof target), 3);
}

TEST(rename_open, "a file that another is renamed over lives on for those who have it open") {
  enter_scratch();
  make_file("old", "old content");
  make_file("new", "new content");
  int fd = open("old", O_RDONLY);
  CHECK_EQ(rename("new", "old"), 0);
  char bytes[4] = "";
  CHECK_EQ(read(fd, bytes, 3), 3);
  CHECK(memcmp(bytes, "old", 3) == 0);
  expect_file("old", "new content");
}

TEST(rename_directories,
     "rename moves directories with all in them, onto empty ones only, never into themselves") {
  enter_scratch();
  CHECK_EQ(mkdir("a", 0755), 0);
  CHECK_EQ(mkdir("a/b", 0755), 0);
  CHECK_EQ(mkdir("c", 0755), 0);
  make_file("a/b/file", "x");
  make_file("plain", "");
  CHECK_ERR(rename("a", "a/b/d"), EINVAL);
  CHECK_ERR(rename("a", "a/d"), EINVAL);
  CHECK_ERR(rename("c", "a"), ENOTEMPTY);
  CHECK_ERR(rename("plain", "c"), EISDIR);
  CHECK_ERR(rename("c", "plain"), ENOTDIR);
  CHECK_ERR(rename("plain/", "other"), ENOTDIR);
  long before = links_of(".");
  CHECK_EQ(rename("a/b", "c/b"), 0);
  expect_file("c/b/file", "x");
  CHECK_EQ(inode_of("c/b/.."), inode_of("c"));
  CHECK_EQ(links_of("a"), 2);
  CHECK_EQ(links_of("c"), 3);
  CHECK_EQ(rename("c", "a"), 0);  // onto an empty directory
  expect_file("a/b/file", "x");
  CHECK_EQ(links_of("."), before - 1);
  CHECK(rename("a", ".") != 0 && rename("..", "x") != 0);
}

TEST(rename_flags, "renameat2 refuses to replace with NOREPLACE and refuses unknown flags") {
  enter_scratch();
  make_file("one", "1");
  make_file("two", "2");
  CHECK_ERR(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_NOREPLACE), EEXIST);
  CHECK_ERR(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", 0x100), EINVAL);
  CHECK_EQ(renameat2(AT_FDCWD, "one", AT_FDCWD, "three", RENAME_NOREPLACE), 0);
  expect_file("three", "1");
  expect_file("two", "2");
}

TEST(many_entries, "200 files of one directory are listed once each, found, and half removed") {
  enter_scratch();
  enum { files = 200 };
  char name[64], seen[files] = {0};
  for (int i = 0; i < files; i++) {
    snprintf(name, sizeof name, "file-with-a-rather-long-name-%d", i);
    make_file(name, "x");
  }
  for (int i = 0; i < files; i += 2) {
    snprintf(name, sizeof name, "file-with-a-rather-long-name-%d", i);
    CHECK_EQ(unlink(name), 0);
  }
  DIR* directory = opendir(".");
  REQUIRE(directory != NULL);
  int dots = 0, index;
  for (struct dirent* entry; (entry = readdir(directory)) != NULL;) {
    if (sscanf(entry->d_name, "file-with-a-rather-long-name-%d", &index) == 1 && index >= 0 &&
        index < files) {
      CHECK_EQ(seen[index]++, 0);
      CHECK(entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN);
      CHECK_EQ(entry->d_ino, inode_of(entry->d_name));
    } else {
      dots++;
    }
  }
  CHECK_EQ(dots, 2);
  for (int i = 0; i < files; i++) CHECK_EQ(seen[i], i % 2);
  rewinddir(directory);
  int again = 0;
  while (readdir(directory)) again++;
  CHECK_EQ(again, files / 2 + 2);
  closedir(directory);
}

TEST(remove_while_listing, "removing each file as it is listed leaves none behind") {
  enter_scratch();
  char name[32];
  CHECK_EQ(mkdir("many", 0755), 0);
  for (int i = 0; i < 150; i++) {
    snprintf(name, sizeof name, "many/%d", i);
    make_file(name, "");
  }
  DIR* directory = opendir("many");
  REQUIRE(directory != NULL);
  for (struct dirent* entry; (entry = readdir(directory)) != NULL;)
    if (entry->d_name[0] != '.') CHECK_EQ(unlinkat(dirfd(directory), entry->d_name, 0), 0);
  closedir(directory);
  CHECK_EQ(count_entries("many"), 2);
  CHECK_EQ(rmdir("many"), 0);
}

TEST(long_names, "a name of 255 bytes works, one of 256 and a path over 4,095 are ENAMETOOLONG") {
  enter_scratch();
  char name[4200];
  memset(name, 'n', sizeof name);
  name[255] = '\0';
  make_file(name, "long");
  expect_file(name, "long");
  name[254] = 'm';
  CHECK(!exists(name));
  name[255] = 'n';
  name[256] = '\0';
  CHECK_ERR(open(name, O_RDWR | O_CREAT, 0644), ENAMETOOLONG);
  CHECK_ERR(mkdir(name, 0755), ENAMETOOLONG);
  for (int i = 0; i < 4096; i++) name[i] = i % 2 ? '/' : '.';
  name[4096] = '\0';
  CHECK_ERR(open(name, O_RDONLY), ENAMETOOLONG);
  name[4095] = '\0';
  CHECK_OK(open(name, O_RDONLY));
}

TEST(deep, "directories 60 deep are made, walked up by .. and removed from below") {
  enter_scratch();
  ino_t top = inode_of(".");
  for (int i = 0; i < 60; i++) {
    CHECK_EQ(mkdir("down", 0755), 0);
    CHECK_EQ(chdir("down"), 0);
  }
  make_file("bottom", "x");
  CHECK_EQ(unlink("bottom"), 0);
  for (int i = 0; i < 60; i++) {
    CHECK_EQ(chdir(".."), 0);
    CHECK_EQ(rmdir("down"), 0);
  }
  CHECK_EQ(inode_of("."), top);
}

TEST(relative_to_descriptor,
     "the *at calls take names from a directory's descriptor, absolute ones as they are") {
  enter_scratch();
  CHECK_EQ(mkdir("a", 0755), 0);
  int directory = open("a", O_RDONLY | O_DIRECTORY);
  int fd = CHECK_OK(openat(directory, "file", O_RDWR | O_CREAT, 0644));
  CHECK(exists("a/file"));
  CHECK_OK(openat(directory, "/bin/true", O_RDONLY));
  CHECK_ERR(openat(fd, "x", O_RDONLY), ENOTDIR);
  CHECK_ERR(openat(999, "x", O_RDONLY), EBADF);
  struct stat info;
  CHECK_EQ(fstatat(fd, "", &info, AT_EMPTY_PATH), 0);
  CHECK_EQ(info.st_ino, inode_of("a/file"));
  CHECK_EQ(faccessat(directory, "file", R_OK, 0), 0);
  CHECK_ERR(faccessat(directory, "none", F_OK, 0), ENOENT);
  CHECK_EQ(mkdirat(directory, "sub", 0755), 0);
  CHECK_EQ(unlinkat(directory, "sub", AT_REMOVEDIR), 0);
  CHECK_EQ(unlinkat(directory, "file", 0), 0);
}

TEST(racing, "four processes creating, renaming and removing in one directory leave it as it should be") {
  enter_scratch();
  pid_t children[4];
  for (int c = 0; c < 4; c++) {
    children[c] = tap_fork();
    if (children[c] != 0) continue;
    char mine[16], other[16];
    for (int i = 0; i < 60; i++) {
      snprintf(mine, sizeof mine, "f%d.%d", c, i);
      snprintf(other, sizeof other, "g%d.%d", c, i);
      make_file(mine, "x");
      CHECK_EQ(rename(mine, other), 0);
      if (i % 3) CHECK_EQ(unlink(other), 0);
      make_file("common", mine);
      unlink("common");
    }
    tap_exit();
  }
  for (int c = 0; c < 4; c++) tap_join(children[c]);
  unlink("common");
  CHECK_EQ(count_entries("."), 4 * 20 + 2);
}
