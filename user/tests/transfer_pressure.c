// Reads and writes for which memory has to be made free in the middle, by writing dirty pages of files back:
// they move all that they were asked for, and what is to stay together stays so.
#include <sys/mman.h>
#include <sys/uio.h>

#define TAP_OPTIONS "fresh", "dirty"
#include "common/memory.h"
#include "common/pages.h"

enum { mib = 1 << 20, file_size = 3 * mib, most_files = 20 };  // no file has so much that its writer waits

static size_t fresh_size, dirty_size;
static int dirty_files[most_files];

// What a word of the data is, by its place.
static uint64_t mark_of(uint64_t offset) { return offset * UINT64_C(0x9e3779b97f4a7c15) + 1; }

static void mark(char* at, size_t size, uint64_t offset) {
  for (size_t i = 0; i < size; i += 8) memcpy(at + i, &(uint64_t){mark_of(offset + i)}, 8);
}

static size_t wrong_words(const char* at, size_t size, uint64_t offset) {
  size_t wrong = 0;
  for (size_t i = 0; i < size; i += 8) wrong += memcmp(at + i, &(uint64_t){mark_of(offset + i)}, 8) != 0;
  return wrong;
}

static const char* dirty_path(size_t index) {
  char name[32];
  snprintf(name, sizeof name, "dirty%zu", index);
  return tap_path(name);
}

// Reserves memory for the transfers, and then fills what there is beside it with dirty pages of files, whose
// bytes are marked in the order of the files. Every one of these writes is whole, too.
static char* press(void) {
  fresh_size = tap_number("fresh", 4) * mib;
  dirty_size = tap_number("dirty", 6) / 3 * file_size;
  REQUIRE(dirty_size / file_size <= most_files);
  sync();  // what was dirty before would soon be written back, and the new pages with it
  char* fresh = map_anonymous(fresh_size / page_size);
  static char bytes[64 << 10];
  for (size_t done = 0; done < dirty_size; done += sizeof bytes) {
    const size_t index = done / file_size;
    if (done % file_size == 0) dirty_files[index] = create_file(dirty_path(index), "", 0);
    mark(bytes, sizeof bytes, done);
    REQUIRE(write(dirty_files[index], bytes, sizeof bytes) == sizeof bytes);
  }
  return fresh;
}

static void remove_dirty_files(void) {
  for (size_t i = 0; i < dirty_size / file_size; i++) CHECK_OK(unlink(dirty_path(i)));
}

TEST(device, "a read into memory that was never touched is whole") {
  char* fresh = press();
  int zero = open("/dev/zero", O_RDONLY);
  REQUIRE(zero >= 0);
  for (size_t done = 0; done < fresh_size; done += mib) CHECK_EQ(read(zero, fresh + done, mib), mib);
  remove_dirty_files();
}

TEST(file, "so is one of a file, by read and by vectors of odd sizes") {
  char* fresh = press();
  size_t size = fresh_size < dirty_size ? fresh_size : dirty_size;
  size -= size % file_size;
  for (size_t done = 0; done < size; done += file_size) {
    int fd = dirty_files[done / file_size];
    CHECK_EQ(pread(fd, fresh + done, mib, 0), mib);
    CHECK_EQ(lseek(fd, mib, SEEK_SET), mib);
    CHECK_EQ(read(fd, fresh + done + mib, mib), mib);
    char* at = fresh + done + 2 * mib;
    struct iovec vectors[] = {{at, 5000}, {at + 5000, 300001}, {at + 305001, mib - 305001}};
    CHECK_EQ(readv(fd, vectors, 3), mib);
  }
  CHECK_EQ(wrong_words(fresh, size, 0), 0);
  remove_dirty_files();
}

TEST(pipe, "what a pipe holds is read as it was written, however the memory for it lies") {
  enum { record = 4096, skew = 104 };  // two pages each, so that the second can be what is missing
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  signal(SIGPIPE, SIG_IGN);
  pid_t writer = tap_fork();
  if (writer == 0) {
    close(ends[0]);
    char bytes[record];
    for (size_t i = 0;; i++) {
      mark(bytes, record, i * record);
      ssize_t written = write(ends[1], bytes, record);
      if (written < 0 && errno == EPIPE) tap_exit();
      CHECK_EQ(written, record);
    }
  }
  close(ends[1]);
  char* fresh = press();
  const size_t records = fresh_size / record - 1;
  for (size_t i = 0; i < records; i++) REQUIRE(read(ends[0], fresh + skew + i * record, record) == record);
  close(ends[0]);
  tap_join(writer);
  CHECK_EQ(wrong_words(fresh + skew, records * record, 0), 0);
  remove_dirty_files();
}

// The memory that is written is a file's that has to be read first.
static char* map_source(size_t size) {
  int fd = create_file(tap_path("source"), "", 0);
  static char bytes[64 << 10];
  for (size_t done = 0; done < size; done += sizeof bytes) {
    mark(bytes, sizeof bytes, done);
    REQUIRE(write(fd, bytes, sizeof bytes) == sizeof bytes);
  }
  if (tap_on_faultline()) drop_caches();
  char* source = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
  REQUIRE(source != MAP_FAILED);
  close(fd);
  return source;
}

TEST(append, "an appending write from memory that is not present is whole, and no other's bytes are in it") {
  enum { block = 2 * mib, blocks = 3 };
  char* source = map_source(block);
  char path[160];
  strcpy(path, tap_path("appended"));
  close(create_file(path, "", 0));
  // Both begin when memory is full.
  int start[2];
  REQUIRE(pipe(start) == 0);
  pid_t writers[2];
  for (int i = 0; i < 2; i++) {
    writers[i] = tap_fork();
    if (writers[i] != 0) continue;
    int fd = open(path, O_WRONLY | O_APPEND);
    REQUIRE(fd >= 0);
    close(start[1]);
    char nothing;
    CHECK_EQ(read(start[0], &nothing, 1), 0);
    for (int j = 0; j < blocks; j++) CHECK_EQ(write(fd, source, block), block);
    tap_exit();
  }
  close(start[0]);
  char* fresh = press();
  memset(fresh, 1, fresh_size);
  close(start[1]);
  for (int i = 0; i < 2; i++) tap_join(writers[i]);
  int fd = open(path, O_RDONLY);
  REQUIRE(fd >= 0);
  static char bytes[64 << 10];
  size_t wrong = 0, size = 0;
  for (ssize_t got; (got = read(fd, bytes, sizeof bytes)) > 0; size += (size_t)got)
    wrong += wrong_words(bytes, (size_t)got, size % block);
  CHECK_EQ(size, 2 * blocks * block);
  CHECK_EQ(wrong, 0);
  CHECK_OK(unlink(path));
  CHECK_OK(unlink(tap_path("source")));
  remove_dirty_files();
}
