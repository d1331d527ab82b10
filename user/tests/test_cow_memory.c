// Copy-on-write of every kind of memory: code, data, stack, heap, files, zero pages, moved and sparse areas.
#include "common/pages.h"

TEST(executable, "code changed by a child leaves its parent's code as it was") {
  char* code = map_anonymous(1);
  emit_return(code, 11);
  REQUIRE(mprotect(code, page_size, PROT_READ | PROT_EXEC) == 0);
  CHECK_EQ(call_code(code), 11);
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_EQ(call_code(code), 11);
    REQUIRE(mprotect(code, page_size, PROT_READ | PROT_WRITE) == 0);
    emit_return(code, 22);
    REQUIRE(mprotect(code, page_size, PROT_READ | PROT_EXEC) == 0);
    __builtin___clear_cache(code, code + page_size);
    CHECK_EQ(call_code(code), 22);
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(call_code(code), 11);
}

static int initialised = 'd';
static int zero_initialised;

TEST(data_and_stack, "writes of a child to .data, .bss, heap and stack are its own") {
  volatile int on_stack = 's';
  int* on_heap = (int*)malloc(sizeof *on_heap);
  *on_heap = 'h';
  pid_t child = tap_fork();
  if (child == 0) {
    initialised = zero_initialised = on_stack = *on_heap = 'c';
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(initialised, 'd');
  CHECK_EQ(zero_initialised, 0);
  CHECK_EQ(on_stack, 's');
  CHECK_EQ(*on_heap, 'h');
  free(on_heap);
}

TEST(zero_page, "a page only read before fork is written apart by both and stays zero elsewhere") {
  volatile char* pages = map_anonymous(2);
  CHECK_EQ(pages[0], 0);
  CHECK_EQ(pages[page_size], 0);
  pid_t child = tap_fork();
  if (child == 0) {
    pages[0] = 'c';
    CHECK_EQ(pages[page_size], 0);
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(pages[0], 0);
  pages[0] = 'p';
  CHECK_EQ(pages[page_size], 0);
  volatile char* fresh = map_anonymous(1);
  CHECK_EQ(fresh[0], 0);
}

TEST(private_file, "a private file page written after fork changes neither the other process nor the file") {
  char bytes[page_size];
  memset(bytes, 'f', sizeof bytes);
  int fd = create_file(tap_path("file"), bytes, sizeof bytes);
  char* page = (char*)mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  REQUIRE(page != MAP_FAILED);
  CHECK_EQ(page[0], 'f');
  page[1] = 'p';
  pid_t child = tap_fork();
  if (child == 0) {
    page[0] = 'c';
    CHECK_EQ(page[1], 'p');
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(page[0], 'f');
  char now[2];
  CHECK_EQ(pread(fd, now, 2, 0), 2);
  CHECK_EQ(now[0], 'f');
  CHECK_EQ(now[1], 'f');
}

TEST(shared_stays_shared, "a shared mapping is not copied on write: both sides see each other") {
  char* page = map_shared(1);
  page[0] = 'p';
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_EQ(page[0], 'p');
    page[0] = 'c';
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(page[0], 'c');
}

TEST(moved, "a shared page moved by mremap is still copied when written") {
  char* pages = map_anonymous(4);
  memset(pages, 'p', page_size);
  pid_t child = tap_fork();
  if (child == 0) {
    char* target = map_anonymous(1);
    char* moved = (char*)mremap(pages, page_size, page_size, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    REQUIRE(moved == target);
    CHECK_EQ(moved[7], 'p');
    moved[7] = 'c';
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(pages[7], 'p');
}

TEST(sparse, "fork of a large sparse space shares what is there and leaves the holes empty") {
  size_t pages = (tap_loads_in_mmap() ? (size_t)4 << 20 : (size_t)1 << 30) / page_size, step = pages / 32;
  char* area = map_anonymous(pages);
  for (size_t i = 0; i < pages; i += step) area[i * page_size] = 'p';
  pid_t child = tap_fork();
  if (child == 0) {
    for (size_t i = 0; i < pages; i += step) {
      CHECK_EQ(area[i * page_size], 'p');
      area[i * page_size] = 'c';
      CHECK_EQ(area[(i + 1) * page_size], 0);
      area[(i + 1) * page_size] = 'c';
    }
    tap_exit();
  }
  tap_join(child);
  for (size_t i = 0; i < pages; i += step) {
    CHECK_EQ(area[i * page_size], 'p');
    CHECK_EQ(area[(i + 1) * page_size], 0);
  }
}
