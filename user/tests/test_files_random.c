// Random file operations against a model in memory: names, contents and sizes must be as the model says,
// through descriptors, fresh opens and mappings alike.
#define TAP_OPTIONS "steps"
#include <dirent.h>

#include "common/pages.h"

enum { names = 12, largest = 96 * 1024, longest_write = 9000, open_limit = 6 };

// A file's contents as they should be; names that are links of each other point to the same one.
struct content {
  int references;  // names and open descriptors
  int links;
  size_t size;
  unsigned char* bytes;  // `largest` of them, zero from `size` on
};

static struct content* named[names];
static struct open_file {
  int fd;
  struct content* content;
} opened[open_limit];

static const char* name_of(int i) {
  static char text[4][16];
  static unsigned next;
  char* name = text[next++ % 4];
  snprintf(name, sizeof text[0], "%s%d", i % 3 ? "file" : "sub/f", i);
  return name;
}

static struct content* new_content(void) {
  struct content* content = (struct content*)calloc(1, sizeof *content);
  REQUIRE(content && (content->bytes = (unsigned char*)calloc(1, largest)));
  return content;
}

static void release(struct content* content) {
  if (--content->references > 0) return;
  free(content->bytes);
  free(content);
}

static void forget_name(int i) {
  named[i]->links--;
  release(named[i]);
  named[i] = NULL;
}

static void check_bytes(int fd, const struct content* content, const char* what) {
  static unsigned char got[largest + 1];
  ssize_t n = pread(fd, got, sizeof got, 0);
  struct stat info;
  CHECK_EQ(fstat(fd, &info), 0);
  CHECK_EQ(info.st_nlink, content->links);
  if (n != (ssize_t)content->size || info.st_size != n)
    FAIL("%s: %zd bytes, size %lld, expected %zu", what, n, (long long)info.st_size, content->size);
  for (ssize_t i = 0; i < n && !tap_failures; i++)
    if (got[i] != content->bytes[i])
      FAIL("%s: byte %zd is %d, expected %d", what, i, got[i], content->bytes[i]);
}

static void check_name(int i) {
  int fd = open(name_of(i), O_RDONLY);
  if (!named[i]) {
    CHECK(fd < 0 && errno == ENOENT);
  } else if (fd < 0) {
    FAIL("open %s: %s", name_of(i), strerrorname_np(errno));
  } else {
    check_bytes(fd, named[i], name_of(i));
  }
  if (fd >= 0) close(fd);
}

static struct open_file* random_open(void) {
  struct open_file* file = &opened[tap_below(open_limit)];
  return file->content ? file : NULL;
}

static const char* do_open(void) {
  struct open_file* file = &opened[tap_below(open_limit)];
  int i = (int)tap_below(names);
  bool cut = tap_below(4) == 0;
  if (file->content) {
    CHECK_EQ(close(file->fd), 0);
    release(file->content);
  }
  file->fd = open(name_of(i), O_RDWR | O_CREAT | (cut ? O_TRUNC : 0), 0644);
  REQUIRE(file->fd >= 0);
  if (!named[i]) {
    named[i] = new_content();
    named[i]->references = named[i]->links = 1;
  } else if (cut) {
    memset(named[i]->bytes, 0, largest);
    named[i]->size = 0;
  }
  file->content = named[i];
  file->content->references++;
  return "open";
}

static const char* do_write(void) {
  static unsigned char bytes[longest_write];
  struct open_file* file = random_open();
  if (!file) return "nothing";
  size_t length = 1 + tap_below(tap_below(2) ? 100 : longest_write), at = tap_below(largest - longest_write);
  if (tap_below(2)) at = file->content->size < at ? file->content->size : at;
  unsigned char first = (unsigned char)tap_random();
  for (size_t i = 0; i < length; i++) bytes[i] = (unsigned char)(first + i * 7);
  CHECK_EQ(pwrite(file->fd, bytes, length, (off_t)at), (ssize_t)length);
  memcpy(file->content->bytes + at, bytes, length);
  if (file->content->size < at + length) file->content->size = at + length;
  return "write";
}

static const char* do_map_write(void) {
  struct open_file* file = random_open();
  if (!file || file->content->size == 0) return "nothing";
  size_t size = file->content->size, at = tap_below(size),
         length = 1 + tap_below(size - at < 5000 ? size - at : 5000);
  unsigned char* map = (unsigned char*)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
  REQUIRE(map != MAP_FAILED);
  CHECK(memcmp(map, file->content->bytes, size) == 0);
  unsigned char value = (unsigned char)tap_random();
  memset(map + at, value, length);
  memset(file->content->bytes + at, value, length);
  if (tap_below(2)) CHECK_EQ(msync(map, size, MS_SYNC), 0);
  CHECK_EQ(munmap(map, size), 0);
  return "mapped write";
}

static const char* do_truncate(void) {
  struct open_file* file = random_open();
  if (!file) return "nothing";
  size_t size = tap_below(largest - longest_write);
  CHECK_EQ(ftruncate(file->fd, (off_t)size), 0);
  if (size < file->content->size) memset(file->content->bytes + size, 0, file->content->size - size);
  file->content->size = size;
  return "ftruncate";
}

static const char* do_unlink(void) {
  int i = (int)tap_below(names);
  if (!named[i]) {
    CHECK_ERR(unlink(name_of(i)), ENOENT);
    return "unlink of nothing";
  }
  CHECK_EQ(unlink(name_of(i)), 0);
  forget_name(i);
  return "unlink";
}

static const char* do_rename(void) {
  int from = (int)tap_below(names), to = (int)tap_below(names);
  if (!named[from]) {
    CHECK_ERR(rename(name_of(from), name_of(to)), ENOENT);
    return "rename of nothing";
  }
  CHECK_EQ(rename(name_of(from), name_of(to)), 0);
  if (named[from] == named[to]) return "rename onto itself";
  if (named[to]) forget_name(to);
  named[to] = named[from];
  named[from] = NULL;
  return "rename";
}

static const char* do_link(void) {
  int from = (int)tap_below(names), to = (int)tap_below(names);
  if (!named[from] || named[to]) {
    CHECK_ERR(link(name_of(from), name_of(to)), named[from] ? EEXIST : ENOENT);
    return "link refused";
  }
  CHECK_EQ(link(name_of(from), name_of(to)), 0);
  named[to] = named[from];
  named[to]->links++;
  named[to]->references++;
  return "link";
}

static const char* do_sync(void) {
  struct open_file* file = random_open();
  if (file) CHECK_EQ(fsync(file->fd), 0);
  return "fsync";
}

static const char* random_step(void) {
  switch (tap_below(32)) {
    case 0 ... 6:
      return do_open();
    case 7 ... 15:
      return do_write();
    case 16 ... 18:
      return do_map_write();
    case 19 ... 22:
      return do_truncate();
    case 23 ... 25:
      return do_unlink();
    case 26 ... 28:
      return do_rename();
    case 29 ... 30:
      return do_link();
    default:
      return do_sync();
  }
}

static void check_directory(void) {
  int entries = 0, expected = 0;
  DIR* directory = opendir("sub");
  REQUIRE(directory != NULL);
  while (readdir(directory)) entries++;
  closedir(directory);
  for (int i = 0; i < names; i += 3) expected += named[i] != NULL;
  CHECK_EQ(entries, expected + 2);
}

TEST(files_random,
     "after every one of thousands of random file operations all files are what the model says") {
  uint64_t steps = tap_number("steps", 3000), seed = tap_seed;
  tap_path("");
  REQUIRE(chdir(tap_scratch) == 0 && mkdir("sub", 0755) == 0);
  for (uint64_t step = 0; step < steps && !tap_failures; step++) {
    const char* what = random_step();
    struct open_file* file = random_open();
    check_name((int)tap_below(names));
    if (file) check_bytes(file->fd, file->content, "open file");
    if (step % 64 == 0) check_directory();
    if (tap_failures)
      NOTE("at step %llu after %s: replay with --seed=%llu", (unsigned long long)step, what,
           (unsigned long long)seed);
  }
  for (int i = 0; i < names; i++) check_name(i);
}
