// How many harts an unmap interrupts: those that run the address space now, and no other.
//
// /proc/vmstat counts for the whole machine, so the program is to run alone.
#include <sched.h>
#include <stdatomic.h>

#include "common/pages.h"
#include "common/proc_text.h"
#include "common/threads.h"

enum { rounds = 200, area_pages = 3 };

struct fences {
  long local, remote, targets;
};

static struct fences count_fences(void) {
  char text[8192];
  read_proc_text("/proc/vmstat", text, sizeof text);
  struct fences now = {line_value(text, "tlb_fence_local "), line_value(text, "tlb_fence_remote "),
                       line_value(text, "tlb_fence_remote_target ")};
  if (now.local < 0) SKIP("this kernel does not count its fences");
  REQUIRE(now.remote >= 0 && now.targets >= 0);
  return now;
}

// Keeps the calling thread on one hart; ends the case as skipped if the machine does not have it.
static void stay_on(int hart) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(hart, &only);
  if (sched_setaffinity(0, sizeof only, &only) != 0) SKIP("this machine has no hart %d", hart);
  while (sched_getcpu() != hart) sched_yield();
}

// Changes translations that are in use in every way that makes them stale; returns what that took.
static struct fences change_translations(void) {
  struct fences before = count_fences();
  for (int i = 0; i < rounds; i++) {
    char* area = map_anonymous(area_pages);
    for (int page = 0; page < area_pages; page++) area[page * page_size] = 1;
    CHECK_EQ(mprotect(area, page_size, PROT_READ), 0);
    CHECK_EQ(madvise(area + page_size, page_size, MADV_DONTNEED), 0);
    CHECK_EQ(munmap(area, area_pages * page_size), 0);
  }
  struct fences after = count_fences();
  return (struct fences){after.local - before.local, after.remote - before.remote,
                         after.targets - before.targets};
}

TEST(alone, "a single-threaded process that stays on its hart sends no remote fence") {
  stay_on(0);
  struct fences made = change_translations();
  CHECK(made.local >= 2 * rounds);  // a pager may discard by writing zeroes
  CHECK_EQ(made.remote, 0);
  CHECK_EQ(made.targets, 0);
}

static atomic_bool spinning, finished;

static void* spin_on_next_hart(void* argument) {
  (void)argument;
  stay_on(1);
  atomic_store(&spinning, true);
  while (!atomic_load_explicit(&finished, memory_order_relaxed)) {
  }
  return NULL;
}

TEST(pair,
     "with a second thread on another hart each remote fence goes to that hart alone, whatever others there "
     "are") {
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) SKIP("needs two harts");
  stay_on(0);
  atomic_store(&spinning, false);
  atomic_store(&finished, false);
  pthread_t other = start(spin_on_next_hart, NULL);
  while (!atomic_load(&spinning)) sched_yield();
  struct fences made = change_translations();
  CHECK(made.remote > 0);
  CHECK(made.remote <= made.local);
  CHECK_EQ(made.targets, made.remote);

  atomic_store(&finished, true);
  pthread_join(other, NULL);
  made = change_translations();
  CHECK_EQ(made.remote, 0);
}

static void* wait_on_next_hart(void* argument) {
  stay_on(1);
  atomic_store(&spinning, true);
  char byte;
  CHECK_EQ(read(*(int*)argument, &byte, 1), 0);
  return NULL;
}

TEST(sleeper, "a hart that ran a thread of the process, which sleeps now, is not interrupted") {
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) SKIP("needs two harts");
  stay_on(0);
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  atomic_store(&spinning, false);
  pthread_t other = start(wait_on_next_hart, &ends[0]);
  while (!atomic_load(&spinning)) sched_yield();
  struct fences made = {0, 1, 0};
  // The other thread needs a moment to get from telling to sleeping; from then on nothing wakes it.
  for (int attempt = 0; attempt < 100 && made.remote != 0; attempt++) made = change_translations();
  CHECK_EQ(made.remote, 0);
  close(ends[1]);
  pthread_join(other, NULL);
  close(ends[0]);
}
