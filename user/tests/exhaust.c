// Programs that use up the machine's memory, each in another way. Every one is refused or killed alone: this
// program, its shell and what else runs go on, and the memory is free again.
#include <sys/resource.h>

#include "common/memory.h"
#include "common/pages.h"
#include "common/turns.h"

// Runs `use_up` in a child, which exits with 0 when it has been refused memory.
static void check_dies_alone(void (*use_up)(void)) {
  if (!tap_on_faultline()) SKIP("would use up this machine's memory");
  // Of those who do no wrong, this process is the largest.
  enum { own_pages = 512 };
  char* own = map_anonymous(own_pages);
  memset(own, 1, own_pages * page_size);
  fork_exec_and_wait();
  struct memory_in_use before = memory_in_use();
  pid_t child = tap_fork();
  if (child == 0) {
    munmap(own, own_pages * page_size);
    use_up();
    _exit(0);
  }
  int status = tap_wait(child);
  CHECK(status == 0 || (WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGBUS)));
  check_memory_returned(before);
  fork_exec_and_wait();
}

static void write_pages_for_ever(void) {
  for (;;) {
    char* area =
        (char*)mmap(NULL, 256 * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) {
      REQUIRE(errno == ENOMEM);
      return;
    }
    for (int i = 0; i < 256; i++) area[i * page_size] = 1;
  }
}

TEST(pages, "a process that writes page after page") { check_dies_alone(write_pages_for_ever); }

static void write_pages_after_vfork(void) {
  pid_t child = vfork();
  if (child == 0) {
    write_pages_for_ever();
    _exit(0);
  }
  tap_wait(child);
}

// The one that sleeps has the same memory; it must not be waited for.
TEST(vfork_child, "a child of vfork that writes page after page") {
  check_dies_alone(write_pages_after_vfork);
}

// Nothing is ever resident in these.
static void map_areas_for_ever(void) {
  static char touched[512 * page_size];
  char* const base = (char*)(uintptr_t)(UINT64_C(1) << 32);
  for (size_t i = 0;; i++) {
    void* area = mmap(base + 2 * i * page_size, page_size, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (area == MAP_FAILED) break;
  }
  REQUIRE(errno == ENOMEM);
  memset(touched, 1, sizeof touched);
}

TEST(areas, "a process that maps area after area") { check_dies_alone(map_areas_for_ever); }

static void fill_pipes_for_ever(void) {
  static char bytes[16 * page_size], touched[512 * page_size];
  REQUIRE(setrlimit(RLIMIT_NOFILE, &(struct rlimit){4096, 4096}) == 0);
  int ends[2];
  do REQUIRE(pipe2(ends, O_NONBLOCK) == 0 || errno == ENOMEM);
  while (write(ends[1], bytes, sizeof bytes) > 0);
  REQUIRE(errno == ENOMEM);
  memset(touched, 1, sizeof touched);
}

TEST(pipes, "a process that fills pipe after pipe") { check_dies_alone(fill_pipes_for_ever); }

// Not an error that somebody else has to die for: the call tells it.
static void populate_too_much(void) {
  enum { bytes = 1 << 30 };
  char* area =
      (char*)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area == MAP_FAILED) return;
  CHECK_ERR(madvise(area, bytes, MADV_POPULATE_WRITE), ENOMEM);
  CHECK(mlock(area, bytes) < 0);
  tap_exit();
}

TEST(populate, "a process that asks for more memory at once than there is") {
  check_dies_alone(populate_too_much);
}
