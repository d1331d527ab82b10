// Copy-on-write seen from user space: what fork shares, no write of one side may reach the other.
#include "common/pages.h"
#include "common/turns.h"

TEST(child_writes, "a child's write is not seen by its parent") {
  char* page = map_anonymous(1);
  page[0] = 'p';
  pid_t child = tap_fork();
  if (child == 0) {
    page[0] = 'c';
    CHECK_EQ(page[0], 'c');
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(page[0], 'p');
}

TEST(parent_writes, "a parent's write is not seen by its child") {
  char* page = map_anonymous(1);
  page[0] = 'p';
  struct turns turns = make_turns();
  pid_t child = tap_fork();
  if (child == 0) {
    await_turn(turns.to_child[0]);
    CHECK_EQ(page[0], 'p');
    tap_exit();
  }
  page[0] = 'q';
  pass_turn(turns.to_child[1]);
  tap_join(child);
  CHECK_EQ(page[0], 'q');
}

TEST(both_write, "after both sides wrote, each sees its own bytes and the rest of the page as before") {
  enum { pages = 16 };
  char* area = map_anonymous(pages);
  memset(area, 's', pages * page_size);
  struct turns turns = make_turns();
  pid_t child = tap_fork();
  for (int i = 0; i < pages; i++) area[i * page_size + (child ? 0 : 1)] = child ? 'p' : 'c';
  if (child == 0) {
    pass_turn(turns.to_parent[1]);
    await_turn(turns.to_child[0]);
  } else {
    await_turn(turns.to_parent[0]);
    pass_turn(turns.to_child[1]);
  }
  for (int i = 0; i < pages; i++) {
    CHECK_EQ(area[i * page_size], child ? 'p' : 's');
    CHECK_EQ(area[i * page_size + 1], child ? 's' : 'c');
    CHECK_EQ(area[i * page_size + page_size - 1], 's');
  }
  if (child == 0) tap_exit();
  tap_join(child);
}

TEST(three_sharers, "a page shared by three processes stays three pages once each has written it") {
  char* page = map_anonymous(1);
  page[0] = 'p';
  struct turns turns[2];
  pid_t children[2];
  for (int i = 0; i < 2; i++) {
    turns[i] = make_turns();
    children[i] = tap_fork();
    if (children[i] != 0) continue;
    await_turn(turns[i].to_child[0]);
    CHECK_EQ(page[0], 'p');
    page[0] = (char)('a' + i);
    pass_turn(turns[i].to_parent[1]);
    await_turn(turns[i].to_child[0]);
    CHECK_EQ(page[0], 'a' + i);
    tap_exit();
  }
  for (int i = 0; i < 2; i++) pass_turn(turns[i].to_child[1]);
  for (int i = 0; i < 2; i++) await_turn(turns[i].to_parent[0]);
  CHECK_EQ(page[0], 'p');
  page[0] = 'q';
  for (int i = 0; i < 2; i++) pass_turn(turns[i].to_child[1]);
  for (int i = 0; i < 2; i++) tap_join(children[i]);
  CHECK_EQ(page[0], 'q');
}

TEST(read_syscall, "read(2) into a shared page changes the reader's copy only") {
  char* page = map_anonymous(2);
  memset(page, 'p', 2 * page_size);
  char bytes[64];
  memset(bytes, 'f', sizeof bytes);
  int fd = create_file(tap_path("bytes"), bytes, sizeof bytes);
  pid_t child = tap_fork();
  if (child == 0) {
    char* middle = page + page_size - 32;  // the copy crosses from one shared page into the next
    CHECK_EQ(pread(fd, middle, 64, 0), 64);
    CHECK_EQ(middle[-1], 'p');
    CHECK_EQ(middle[0], 'f');
    CHECK_EQ(middle[63], 'f');
    CHECK_EQ(middle[64], 'p');
    tap_exit();
  }
  tap_join(child);
  for (int i = 0; i < 2 * page_size; i++)
    if (page[i] != 'p') {
      FAIL("byte %d is %d", i, page[i]);
      break;
    }
}

TEST(read_pipe, "a pipe read into a shared page changes the reader's copy only") {
  char* page = map_anonymous(1);
  page[0] = 'p';
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_EQ(read(ends[0], page, 1), 1);
    CHECK_EQ(page[0], 'x');
    tap_exit();
  }
  REQUIRE(write(ends[1], "x", 1) == 1);
  tap_join(child);
  CHECK_EQ(page[0], 'p');
}

TEST(structure_out,
     "a system call that stores a structure across two shared pages changes the caller's copy only") {
  char* pages = map_anonymous(2);
  memset(pages, 'p', 2 * page_size);
  struct timespec* straddling = (struct timespec*)(pages + page_size - 8);
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_EQ(clock_gettime(CLOCK_REALTIME, straddling), 0);
    CHECK(straddling->tv_nsec >= 0 && straddling->tv_nsec < 1000000000);
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(pages[page_size - 8], 'p');
  CHECK_EQ(pages[page_size + 7], 'p');
}

// Writes at `depth`, forks the next deeper process, and checks after it ended that nothing changed here.
static void descend(char* page, int depth, int last) {
  for (int i = 0; i < depth; i++)
    if (page[i] != (char)i) FAIL("byte %d at depth %d is %d", i, depth, page[i]);
  page[depth] = (char)depth;
  if (depth == last) return;
  pid_t child = tap_fork();
  if (child == 0) {
    descend(page, depth + 1, last);
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(page[depth], (char)depth);
  CHECK_EQ(page[depth + 1], 0);
}

TEST(chain, "in a chain of 100 forks each process keeps its own version of a page") {
  descend(map_anonymous(1), 0, tap_copies_in_fork() ? 20 : 100);
}

TEST(mprotect_round_trip,
     "making a shared page read-only and writable again does not make it writable to both") {
  char* page = map_anonymous(1);
  page[0] = 'p';
  pid_t child = tap_fork();
  if (child == 0) {
    REQUIRE(mprotect(page, page_size, PROT_READ) == 0);
    REQUIRE(mprotect(page, page_size, PROT_READ | PROT_WRITE) == 0);
    page[0] = 'c';
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(page[0], 'p');
}

TEST(made_writable_after_fork,
     "a page read-only at fork and made writable by the child is copied when it writes") {
  char* page = map_anonymous(1);
  page[0] = 'p';
  REQUIRE(mprotect(page, page_size, PROT_READ) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    REQUIRE(mprotect(page, page_size, PROT_READ | PROT_WRITE) == 0);
    page[0] = 'c';
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(page[0], 'p');
}

TEST(atomic_add, "an atomic read-modify-write takes its own copy of a shared page") {
  long* value = (long*)map_anonymous(1);
  *value = 40;
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_EQ(__atomic_fetch_add(value, 2, __ATOMIC_SEQ_CST), 40);
    long expected = 42;
    CHECK(__atomic_compare_exchange_n(value, &expected, 43, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    CHECK_EQ(*value, 43);
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(*value, 40);
}

TEST(straddling_store,
     "a store that crosses from one shared page into the next is whole for its writer only") {
  char* pages = map_anonymous(2);
  memset(pages, 0, 2 * page_size);
  struct __attribute__((packed)) unaligned {
    uint64_t value;
  };
  volatile struct unaligned* at = (volatile struct unaligned*)(pages + page_size - 4);
  at->value = UINT64_C(0x1111111122222222);
  pid_t child = tap_fork();
  if (child == 0) {
    at->value = UINT64_C(0x3333333344444444);
    CHECK_EQ(at->value, UINT64_C(0x3333333344444444));
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(at->value, UINT64_C(0x1111111122222222));
}

TEST(vfork_waits,
     "vfork holds its parent until the child has ended, and the child runs in its parent's memory") {
  if (tap_emulated()) SKIP("this emulator makes vfork a fork");
  static volatile int written;
  written = 0;
  pid_t child = vfork();
  if (child == 0) {
    written = 'c';
    _exit(5);
  }
  REQUIRE(child > 0);
  CHECK_EQ(written, 'c');
  int status = tap_wait(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}

TEST(crowd, "eight processes rewriting the same 64 shared pages at once each read back only their own") {
  enum { pages = 64, crowd = 8, rounds = 4 };
  uint32_t* area = (uint32_t*)map_anonymous(pages);
  enum { words = pages * page_size / sizeof *area };
  for (size_t i = 0; i < words; i++) area[i] = (uint32_t)i;
  pid_t children[crowd];
  for (int c = 0; c < crowd; c++) {
    children[c] = tap_fork();
    if (children[c] != 0) continue;
    for (uint32_t round = 1; round <= rounds; round++) {
      for (size_t i = c; i < words; i += 97) area[i] = (uint32_t)i ^ round << 28 ^ (uint32_t)c << 20;
      for (size_t i = c; i < words; i += 97)
        if (area[i] != ((uint32_t)i ^ round << 28 ^ (uint32_t)c << 20)) {
          FAIL("process %d round %u word %zu is %#x", c, round, i, area[i]);
          tap_exit();
        }
    }
    tap_exit();
  }
  for (int c = 0; c < crowd; c++) tap_join(children[c]);
  for (size_t i = 0; i < words; i++)
    if (area[i] != (uint32_t)i) {
      FAIL("word %zu of the parent is %#x", i, area[i]);
      break;
    }
}
