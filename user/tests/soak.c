// Everything at once, for as long as is asked: worker processes that fork, execute, map, pipe, thread and
// write files at random and verify every byte; in the end all is reaped, removed and freed.
//
//   soak SECONDS [--seed=S] [--workers=N]
#define TAP_OPTIONS "seconds", "workers"
static int soak_arguments(int argc, char** argv);
#define TAP_HELPER_MAIN(argc, argv) soak_arguments(argc, argv)
#include <sched.h>

#include "common/memory.h"
#include "common/pages.h"
#include "common/threads.h"

enum { default_seconds = 20, default_workers = 6, maximum_workers = 32, warm_up_seconds = 3 };
static const uint64_t second = UINT64_C(1000000000);

enum job {
  job_fork,
  job_execute,
  job_memory,
  job_share,
  job_pipe,
  job_file,
  job_map_file,
  job_threads,
  job_kill,
  jobs
};
static const char* const job_names[jobs] = {"fork", "exec", "memory", "share", "pipe",
                                            "file", "mmap", "thread", "kill"};

// What the workers and the first process share.
static struct shared {
  volatile uint64_t end;  // when to stop, by the monotonic clock
  volatile uint64_t done[jobs];
}* shared;

static int worker_number;

static uint64_t pattern(uint64_t seed, uint64_t index) {
  return (seed + index) * UINT64_C(0x9E3779B97F4A7C15);
}

static void fill_words(uint64_t* words, size_t count, uint64_t seed) {
  for (size_t i = 0; i < count; i++) words[i] = pattern(seed, i);
}

static void check_words(const uint64_t* words, size_t count, uint64_t seed, const char* what) {
  for (size_t i = 0; i < count; i++)
    if (words[i] != pattern(seed, i)) {
      FAIL("worker %d: %s: word %zu of %zu is %#llx, expected %#llx", worker_number, what, i, count,
           (unsigned long long)words[i], (unsigned long long)pattern(seed, i));
      return;
    }
}

enum { words_per_page = page_size / 8 };

// Copies of copies: each generation rewrites half of the pages and must find the other half as inherited.
static void do_fork(void) {
  size_t pages = 4 + tap_below(60), count = pages * words_per_page;
  uint64_t seed = tap_random();
  uint64_t* words = (uint64_t*)map_anonymous(pages);
  fill_words(words, count, seed);
  for (uint64_t i = 1 + tap_below(3); i > 0; i--) {
    pid_t child = tap_fork();
    if (child == 0) {
      size_t half = count / 2;
      fill_words(words, half, seed + i);
      pid_t grandchild = tap_fork();
      if (grandchild == 0) {
        check_words(words, half, seed + i, "grandchild");
        fill_words(words, count, seed + 100);
        tap_exit();
      }
      tap_join(grandchild);
      check_words(words, half, seed + i, "child, written");
      for (size_t w = half; w < count; w++)
        if (words[w] != pattern(seed, w)) {
          FAIL("child: inherited word %zu changed", w);
          break;
        }
      tap_exit();
    }
    if (tap_below(2)) fill_words(words, 64, seed);
    tap_join(child);
  }
  check_words(words, count, seed, "parent");
  munmap(words, pages * page_size);
}

static void do_execute(void) {
  pid_t child = tap_fork();
  if (child == 0) {
    execl(tap_below(4) ? "/bin/true" : "/bin/false", "program", "with", "arguments", (char*)NULL);
    _exit(9);
  }
  int status = tap_wait(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
}

static void do_memory(void) {
  enum { areas = 6 };
  struct area {
    uint64_t* words;
    size_t pages;
    uint64_t seed;
  } list[areas] = {{NULL, 0, 0}};
  for (int step = 0; step < 40; step++) {
    struct area* area = &list[tap_below(areas)];
    if (!area->words) {
      area->pages = 1 + tap_below(40);
      area->seed = tap_random();
      area->words = (uint64_t*)map_anonymous(area->pages);
      fill_words(area->words, area->pages * words_per_page, area->seed);
    } else if (tap_below(3) == 0) {
      size_t pages = 1 + tap_below(40), kept = pages < area->pages ? pages : area->pages;
      void* moved = mremap(area->words, area->pages * page_size, pages * page_size, MREMAP_MAYMOVE);
      REQUIRE(moved != MAP_FAILED);
      area->words = (uint64_t*)moved;
      check_words(area->words, kept * words_per_page, area->seed, "moved");
      fill_words(area->words, pages * words_per_page, area->seed);
      area->pages = pages;
    } else {
      CHECK_EQ(mprotect(area->words, area->pages * page_size, PROT_READ), 0);
      check_words(area->words, area->pages * words_per_page, area->seed, "mapped");
      CHECK_EQ(munmap(area->words, area->pages * page_size), 0);
      area->words = NULL;
    }
  }
  for (int i = 0; i < areas; i++)
    if (list[i].words) munmap(list[i].words, list[i].pages * page_size);
}

static void do_share(void) {
  enum { pages = 8 };
  uint64_t* words = (uint64_t*)map_shared(pages);
  pid_t children[3];
  for (uint64_t i = 0; i < 3; i++) {
    children[i] = tap_fork();
    if (children[i] != 0) continue;
    for (size_t w = i; w < pages * words_per_page; w += 3) words[w] = pattern(7, w);
    tap_exit();
  }
  for (int i = 0; i < 3; i++) tap_join(children[i]);
  check_words(words, pages * words_per_page, 7, "shared by three");
  munmap(words, pages * page_size);
}

// Writes or reads all of `size` bytes in pieces of random length.
static void transfer(bool writing, int fd, void* bytes, size_t size) {
  for (size_t at = 0; at < size;) {
    size_t piece = 1 + tap_below(9000);
    if (piece > size - at) piece = size - at;
    ssize_t n = writing ? write(fd, (char*)bytes + at, piece) : read(fd, (char*)bytes + at, piece);
    REQUIRE(n > 0);
    at += (size_t)n;
  }
}

static void do_pipe(void) {
  int ends[2];
  size_t pages = 1 + tap_below(40), count = pages * words_per_page;
  uint64_t seed = tap_random();
  uint64_t* words = (uint64_t*)map_anonymous(pages);
  REQUIRE(pipe(ends) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    fill_words(words, count, seed);
    transfer(true, ends[1], words, count * sizeof *words);
    tap_exit();
  }
  close(ends[1]);
  transfer(false, ends[0], words, count * sizeof *words);
  check_words(words, count, seed, "pipe");
  close(ends[0]);
  tap_join(child);
  munmap(words, pages * page_size);
}

static const char* worker_file(int n) {
  char name[32];
  snprintf(name, sizeof name, "worker%d.%d", worker_number, n);
  return tap_path(name);
}

static void do_file(void) {
  static uint64_t words[8 * words_per_page], back[8 * words_per_page];
  size_t count = 1 + tap_below(8 * words_per_page), bytes = count * 8;
  uint64_t seed = tap_random();
  fill_words(words, count, seed);
  int fd = create_file(worker_file(0), words, bytes);
  CHECK_EQ(pread(fd, back, sizeof back, 0), (ssize_t)bytes);
  check_words(back, count, seed, "file");
  CHECK_EQ(rename(worker_file(0), worker_file(1)), 0);
  CHECK_EQ(link(worker_file(1), worker_file(2)), 0);
  size_t half = count / 2;
  CHECK_EQ(truncate(worker_file(2), (off_t)half * 8), 0);
  memset(back, 0, sizeof back);
  CHECK_EQ(pread(fd, back, sizeof back, 0), (ssize_t)half * 8);
  check_words(back, half, seed, "truncated file");
  if (tap_below(8) == 0) CHECK_EQ(fsync(fd), 0);
  CHECK_EQ(unlink(worker_file(1)), 0);
  CHECK_EQ(unlink(worker_file(2)), 0);
  close(fd);
}

static void do_map_file(void) {
  size_t pages = 1 + tap_below(16), count = pages * words_per_page;
  uint64_t seed = tap_random();
  int fd = create_file(worker_file(3), "", 0);
  REQUIRE(ftruncate(fd, (off_t)pages * page_size) == 0);
  uint64_t* words = (uint64_t*)mmap(NULL, pages * page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  REQUIRE(words != MAP_FAILED);
  uint64_t* copied = (uint64_t*)mmap(NULL, pages * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  REQUIRE(copied != MAP_FAILED);
  fill_words(words, count, seed);
  check_words(copied, count, seed, "private view");
  fill_words(copied, count, seed + 1);
  if (tap_below(4) == 0) CHECK_EQ(msync(words, pages * page_size, MS_SYNC), 0);
  check_words(words, count, seed, "shared view");
  pid_t child = tap_fork();
  if (child == 0) {
    check_words(copied, count, seed + 1, "inherited private view");
    fill_words(words, count, seed + 2);
    tap_exit();
  }
  tap_join(child);
  check_words(words, count, seed + 2, "view written by the child");
  munmap(words, pages * page_size);
  munmap(copied, pages * page_size);
  close(fd);
  CHECK_EQ(unlink(worker_file(3)), 0);
}

struct part {
  uint64_t* words;
  uint64_t index, seed;
  size_t count;
};

static void* fill_part(void* argument) {
  struct part* part = (struct part*)argument;
  for (size_t i = part->index; i < part->count; i += 4) part->words[i] = pattern(part->seed, i);
  return NULL;
}

static void do_threads(void) {
  size_t pages = 1 + tap_below(32);
  uint64_t* words = (uint64_t*)map_anonymous(pages);
  pthread_t threads[4];
  struct part parts[4];
  for (uint64_t i = 0; i < 4; i++) {
    parts[i] = (struct part){words, i, 99, pages * words_per_page};
    REQUIRE(pthread_create(&threads[i], NULL, fill_part, &parts[i]) == 0);
  }
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  check_words(words, pages * words_per_page, 99, "filled by four threads");
  munmap(words, pages * page_size);
}

static void do_kill(void) {
  pid_t child = tap_fork();
  if (child == 0) {
    uint64_t* words = (uint64_t*)map_anonymous(16);
    for (uint64_t seed = 0;; seed++) fill_words(words, 16 * words_per_page, seed);
  }
  for (uint64_t i = tap_below(20); i > 0; i--) sched_yield();
  CHECK_EQ(kill(child, SIGKILL), 0);
  int status = tap_wait(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void (*const job_functions[jobs])(void) = {do_fork, do_execute,  do_memory,  do_share, do_pipe,
                                                  do_file, do_map_file, do_threads, do_kill};

static void work(int number, uint64_t seed) {
  worker_number = number;
  tap_seed = seed ? seed : 1;
  while (tap_nanoseconds() < shared->end && !tap_failures) {
    enum job job = (enum job)tap_below(jobs);
    job_functions[job]();
    __atomic_fetch_add(&shared->done[job], 1, __ATOMIC_RELAXED);
  }
  tap_exit();
}

static void report(uint64_t left) {
  char line[200];
  int at = 0;
  for (int i = 0; i < jobs; i++)
    at += snprintf(line + at, sizeof line - (size_t)at, " %s %llu", job_names[i],
                   (unsigned long long)shared->done[i]);
  NOTE("%llu s left:%s", (unsigned long long)(left / second), line);
}

static void run_workers(uint64_t seconds) {
  pid_t workers[maximum_workers];
  int count = (int)tap_number("workers", default_workers);
  REQUIRE(count > 0 && count <= maximum_workers);
  shared->end = tap_nanoseconds() + seconds * second;
  for (int i = 0; i < count; i++) {
    uint64_t seed = tap_random();
    workers[i] = tap_fork();
    if (workers[i] == 0) work(i, seed);
  }
  for (uint64_t now; (now = tap_nanoseconds()) < shared->end;) {
    uint64_t rest = shared->end - now, pause = rest < 10 * second ? rest : 10 * second;
    nanosleep(&(struct timespec){(time_t)(pause / second), (long)(pause % second)}, NULL);
    report(rest - pause);
  }
  for (int i = 0; i < count; i++) tap_join(workers[i]);
}

// What is in use without caches; nothing where other programs' caches would go with them.
static struct memory_in_use settled_memory(void) {
  if (!tap_on_faultline()) return (struct memory_in_use){0, 0};
  drop_caches();
  return memory_in_use();
}

TEST(soak,
     "under random load of every kind all data stays right, all processes end, all files and pages are free "
     "again") {
  uint64_t seconds = tap_number("seconds", default_seconds);
  tap_path("");
  shared = (struct shared*)map_shared(1);
  run_workers(seconds < 2 * warm_up_seconds ? 1 : warm_up_seconds);
  struct memory_in_use before = settled_memory();
  run_workers(seconds);
  CHECK_ERR(waitpid(-1, NULL, 0), ECHILD);
  CHECK_EQ(rmdir(tap_scratch), 0);  // fails if a worker left a file
  if (!tap_on_faultline()) return;
  drop_caches();
  check_memory_returned(before);
}

// Lets `soak 60` mean `soak --seconds=60`.
static int soak_arguments(int argc, char** argv) {
  static char option[32];
  if (argc > 1 && argv[1][0] >= '0' && argv[1][0] <= '9') {
    snprintf(option, sizeof option, "--seconds=%s", argv[1]);
    argv[1] = option;
  }
  return -1;
}
