// Translations that other harts hold must be gone when the system call that changed them returns.
//
// Threads spin in user mode on one page, one access after the other, so that their harts keep its
// translation. Each access is preceded by a look at `closed`, which the main thread sets once the system
// call has returned:
//
//   main      ... system call ............ return, closed = true
//   spinner   look, access, look, access, ........ look (true), access: must fault, or see the new page
//
// An access that began after `closed` was seen true and still succeeded by the old translation is what a
// missing remote fence does, within one turn of the loop; no timing is assumed. A spinner makes no system
// call in a round: a trap might drop the entry that the fence should have. With one hart time slices do.
#define TAP_OPTIONS "spinners", "rounds"
#include <sched.h>
#include <stdatomic.h>

#include "common/fault.h"
#include "common/pages.h"
#include "common/threads.h"
#include "common/turns.h"

enum { maximum_spinners = 16, warm_accesses = 64, minimum_rounds = 8 };
static const uint64_t case_budget = UINT64_C(400000000);  // nanoseconds, once minimum_rounds are done

enum outcome { outcome_none, outcome_faulted, outcome_saw_new, outcome_violated };

// What a round's spinners do and what they must meet after `closed`.
struct expectation {
  long (*access)(volatile long* target, int index);
  int fault;  // the signal that an access must raise, or 0
  long old_value, new_value;
};

static struct expectation expected;
static volatile long* volatile target;
static atomic_bool closed;
static atomic_uint round_number;

static struct spinner {
  pthread_t thread;
  int index;
  atomic_ulong accesses;
  atomic_int outcome;
  long seen;  // by a violation
} spinners[maximum_spinners];
static int spinner_count;

static long read_word(volatile long* at, int index) {
  (void)index;
  return *at;
}

static long write_word(volatile long* at, int index) {
  at[1 + index]++;
  return expected.old_value;
}

static long call_word(volatile long* at, int index) {
  (void)index;
  return call_code((const void*)at);
}

static enum outcome spin_round(struct spinner* me) {
  if (sigsetjmp(fault_return, 1) != 0) {
    fault_expected = 0;
    me->seen = -fault_seen.signal;
    return fault_seen.signal == expected.fault ? outcome_faulted : outcome_violated;
  }
  fault_expected = 1;
  for (;;) {
    bool after = atomic_load_explicit(&closed, memory_order_acquire);
    long value = expected.access(target, me->index);
    atomic_fetch_add_explicit(&me->accesses, 1, memory_order_relaxed);
    bool good = after ? !expected.fault && value == expected.new_value
                      : value == expected.old_value || (!expected.fault && value == expected.new_value);
    if (good && !after) continue;
    fault_expected = 0;
    me->seen = value;
    return good ? outcome_saw_new : outcome_violated;
  }
}

static void* spin(void* argument) {
  struct spinner* me = (struct spinner*)argument;
  for (unsigned done = 0;; done++) {
    while (atomic_load_explicit(&round_number, memory_order_acquire) == done) sched_yield();
    enum outcome outcome = spin_round(me);
    atomic_store_explicit(&me->outcome, outcome, memory_order_release);
  }
  return NULL;
}

static void start_spinners(void) {
  fault_catch();
  spinner_count = (int)tap_number("spinners", 3);
  REQUIRE(spinner_count > 0 && spinner_count <= maximum_spinners);
  for (int i = 0; i < spinner_count; i++) {
    spinners[i].index = i;
    REQUIRE(pthread_create(&spinners[i].thread, NULL, spin, &spinners[i]) == 0);
  }
}

// Lets the spinners loose on `page` and returns when each has its translation in use.
static void open_round(volatile long* page) {
  target = page;
  atomic_store(&closed, false);
  for (int i = 0; i < spinner_count; i++) {
    atomic_store(&spinners[i].accesses, 0);
    atomic_store(&spinners[i].outcome, outcome_none);
  }
  atomic_fetch_add_explicit(&round_number, 1, memory_order_release);
  for (int i = 0; i < spinner_count; i++)
    while (atomic_load(&spinners[i].accesses) < warm_accesses &&
           atomic_load(&spinners[i].outcome) == outcome_none)
      sched_yield();
}

// To be called when the system call has returned: waits for every spinner's verdict. Returns false if one
// met what it must not.
static bool close_round(const char* what) {
  atomic_store_explicit(&closed, true, memory_order_release);
  bool good = true;
  for (int i = 0; i < spinner_count; i++) {
    int outcome;
    while ((outcome = atomic_load_explicit(&spinners[i].outcome, memory_order_acquire)) == outcome_none)
      sched_yield();
    if (outcome != outcome_violated) continue;
    good = false;
    if (spinners[i].seen < 0)
      FAIL("%s: thread %d: signal %ld, expected %d", what, i, -spinners[i].seen, expected.fault);
    else
      FAIL("%s: thread %d met %ld: the old translation still served, or a write was lost", what, i,
           spinners[i].seen);
  }
  return good;
}

// The rounds of a case: `more_rounds(&r)` until enough, or one has failed.
struct rounds {
  unsigned done;
  uint64_t started;
};

static bool more_rounds(struct rounds* rounds) {
  if (rounds->started == 0) rounds->started = tap_nanoseconds();
  if (tap_failures || rounds->done == tap_number("rounds", 300)) return false;
  if (rounds->done >= minimum_rounds && tap_nanoseconds() - rounds->started > case_budget) return false;
  rounds->done++;
  return true;
}

// Sizes that a kernel may fence page by page, and one that it may fence as a whole.
static size_t round_pages(const struct rounds* rounds) {
  static const size_t sizes[] = {1, 2, 16, 200};
  return sizes[rounds->done % 4];
}

static char* make_area(size_t pages) {
  char* area = map_anonymous(pages);
  for (size_t i = 0; i < pages; i++) *(long*)(area + i * page_size) = 7;
  return area;
}

static volatile long* middle(char* area, size_t pages) {
  return (volatile long*)(area + pages / 2 * page_size);
}

TEST(munmap_reader, "after munmap no thread reads the page any more") {
  start_spinners();
  expected = (struct expectation){read_word, SIGSEGV, 7, 0};
  for (struct rounds r = {0, 0}; more_rounds(&r);) {
    size_t pages = round_pages(&r);
    char* area = make_area(pages);
    open_round(middle(area, pages));
    CHECK_EQ(munmap(area, pages * page_size), 0);
    close_round("munmap");
  }
}

TEST(munmap_reuse, "a thread never reads what the next owner of an unmapped frame wrote") {
  start_spinners();
  expected = (struct expectation){read_word, SIGSEGV, 7, 0};
  for (struct rounds r = {0, 0}; more_rounds(&r);) {
    char* area = make_area(1);
    open_round((volatile long*)area);
    CHECK_EQ(munmap(area, page_size), 0);
    char* next = (char*)mmap(area - 512 * page_size, 8 * page_size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(next != MAP_FAILED);
    if (next <= area && area < next + 8 * page_size) munmap(area, page_size);
    for (int i = 0; i < 8; i++)
      if (next + i * page_size != area) *(long*)(next + i * page_size) = 666;
    close_round("munmap and reuse");
    munmap(next, 8 * page_size);
  }
}

TEST(protect_writer, "after mprotect to read-only no thread writes the page any more") {
  start_spinners();
  expected = (struct expectation){write_word, SIGSEGV, 7, 0};
  for (struct rounds r = {0, 0}; more_rounds(&r);) {
    size_t pages = round_pages(&r);
    char* area = make_area(pages);
    volatile long* page = middle(area, pages);
    open_round(page);
    CHECK_EQ(mprotect(area, pages * page_size, PROT_READ), 0);
    long sum = 0;
    for (int i = 0; i < spinner_count; i++) sum += page[1 + i];
    close_round("mprotect read-only");
    for (int i = 0; i < spinner_count; i++) sum -= page[1 + i];
    CHECK_EQ(sum, 0);
    munmap(area, pages * page_size);
  }
}

TEST(protect_none, "after mprotect to PROT_NONE no thread reads the page any more") {
  start_spinners();
  expected = (struct expectation){read_word, SIGSEGV, 7, 0};
  for (struct rounds r = {0, 0}; more_rounds(&r);) {
    size_t pages = round_pages(&r);
    char* area = make_area(pages);
    open_round(middle(area, pages));
    CHECK_EQ(mprotect(area, pages * page_size, PROT_NONE), 0);
    close_round("mprotect none");
    munmap(area, pages * page_size);
  }
}

TEST(protect_execute, "after mprotect to not executable no thread runs the page any more") {
  if (tap_emulated()) SKIP("this emulator runs code from any readable page");
  start_spinners();
  expected = (struct expectation){call_word, SIGSEGV, 7, 0};
  for (struct rounds r = {0, 0}; more_rounds(&r);) {
    char* area = map_anonymous(1);
    emit_return(area, 7);
    REQUIRE(mprotect(area, page_size, PROT_READ | PROT_EXEC) == 0);
    open_round((volatile long*)area);
    CHECK_EQ(mprotect(area, page_size, PROT_READ), 0);
    close_round("mprotect not executable");
    munmap(area, page_size);
  }
}

TEST(discard, "after MADV_DONTNEED every thread reads zero") {
  start_spinners();
  expected = (struct expectation){read_word, 0, 7, 0};
  for (struct rounds r = {0, 0}; more_rounds(&r);) {
    size_t pages = round_pages(&r);
    char* area = make_area(pages);
    open_round(middle(area, pages));
    CHECK_EQ(madvise(area, pages * page_size, MADV_DONTNEED), 0);
    close_round("MADV_DONTNEED");
    munmap(area, pages * page_size);
  }
}

TEST(replace, "after mmap with MAP_FIXED every thread reads the new mapping, and none faults in between") {
  start_spinners();
  expected = (struct expectation){read_word, 0, 7, 0};
  for (struct rounds r = {0, 0}; more_rounds(&r);) {
    char* area = make_area(2);
    open_round((volatile long*)area);
    void* at = mmap(area, page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(at == area);
    close_round("MAP_FIXED");
    munmap(area, 2 * page_size);
  }
}

TEST(move, "after mremap moved a page no thread reads it at its old address") {
  start_spinners();
  expected = (struct expectation){read_word, SIGSEGV, 7, 0};
  for (struct rounds r = {0, 0}; more_rounds(&r);) {
    size_t pages = round_pages(&r);
    char* area = make_area(pages);
    char* destination = map_anonymous(pages);
    open_round(middle(area, pages));
    void* moved =
        mremap(area, pages * page_size, pages * page_size, MREMAP_MAYMOVE | MREMAP_FIXED, destination);
    CHECK(moved == destination);
    close_round("mremap");
    CHECK_EQ(*middle(destination, pages), 7);
    munmap(destination, pages * page_size);
  }
}

TEST(truncate_file, "after a file was cut off no thread reads its pages through a mapping: SIGBUS") {
  start_spinners();
  expected = (struct expectation){read_word, SIGBUS, 7, 0};
  int fd = create_file(tap_path("file"), "", 0);
  for (struct rounds r = {0, 0}; more_rounds(&r);) {
    REQUIRE(ftruncate(fd, page_size) == 0);
    long* page = (long*)mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(page != MAP_FAILED);
    *page = 7;
    open_round(page);
    CHECK_EQ(ftruncate(fd, 0), 0);
    close_round("ftruncate");
    munmap(page, page_size);
  }
}

TEST(first_write, "the first write to a page that others only read so far is seen by them at once") {
  start_spinners();
  for (struct rounds r = {0, 0}; more_rounds(&r);) {
    expected = (struct expectation){read_word, 0, 0, (long)r.done + 1};
    volatile long* page = (volatile long*)map_anonymous(1);
    open_round(page);
    *page = (long)r.done + 1;
    close_round("write over the zero page");
    munmap((void*)page, page_size);
  }
}

// Forks a process that holds the space's pages shared until `*release` is closed.
static pid_t hold_shared(int* release) {
  pid_t child = fork_held(release);
  if (child == 0) _exit(0);
  return child;
}

TEST(copy_on_write,
     "the copy that one thread's write makes of a shared page is what the others read at once") {
  start_spinners();
  for (struct rounds r = {0, 0}; more_rounds(&r);) {
    expected = (struct expectation){read_word, 0, 7, 1000 + (long)r.done};
    volatile long* page = (volatile long*)make_area(1);
    int release;
    pid_t holder = hold_shared(&release);
    open_round(page);
    *page = 1000 + (long)r.done;
    close_round("copy on write");
    close(release);
    tap_join(holder);
    munmap((void*)page, page_size);
  }
}

static long count_up(volatile long* at, int index) {
  static __thread long last;
  if (at[1 + index] == 0) last = 0;
  if (at[1 + index] != last) return 0;  // a write of this thread was lost
  at[1 + index] = ++last;
  return 7;
}

TEST(fork_writer, "after fork the child's page stands still and no write of the parent's threads is lost") {
  start_spinners();
  expected = (struct expectation){count_up, 0, 7, 7};
  for (struct rounds r = {0, 0}; more_rounds(&r);) {
    volatile long* page = (volatile long*)make_area(1);
    open_round(page);
    pid_t child = tap_fork();
    if (child == 0) {
      long first[maximum_spinners];
      for (int i = 0; i < spinner_count; i++) first[i] = page[1 + i];
      for (int look = 0; look < 4000; look++)
        for (int i = 0; i < spinner_count; i++)
          if (page[1 + i] != first[i]) _exit(tap_status_failed);
      _exit(tap_status_passed);
    }
    tap_join(child);
    close_round("fork");
    munmap((void*)page, page_size);
  }
}

// One of several processes that keep being moved from hart to hart and replace their page all the time:
// a hart that ran one of them earlier must not serve it, or another, from what it remembers.
static void replace_pages(int index) {
  const int turns = 2000;
  char* page = map_anonymous(1);
  for (int i = 1; i <= turns && !tap_failures; i++) {
    *(volatile long*)page = index * 100000L + i;
    sched_yield();
    CHECK_EQ(*(volatile long*)page, index * 100000L + i);
    REQUIRE(mmap(page, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
            page);
    if (i % 2) sched_yield();
    CHECK_EQ(*(volatile long*)page, 0);
  }
  tap_exit();
}

TEST(migration, "a process that is moved between harts never meets a translation it has replaced") {
  enum { processes = 8 };
  pid_t children[processes];
  for (int i = 0; i < processes; i++) {
    children[i] = tap_fork();
    if (children[i] == 0) replace_pages(i);
  }
  for (int i = 0; i < processes; i++) tap_join(children[i]);
}
