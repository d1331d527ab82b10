// Threads: creation and end, futexes and what stands on them, floating-point state, time.
#include <linux/futex.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/syscall.h>

#include "common/pages.h"
#include "common/rounding.h"
#include "common/threads.h"

static void* give_back(void* argument) { return (void*)((intptr_t)argument + 1); }

TEST(create_and_join, "100 threads one after another are created and joined, each with its own result") {
  for (intptr_t i = 0; i < 100; i++) {
    void* result = NULL;
    CHECK_EQ(pthread_join(start(give_back, (void*)i), &result), 0);
    CHECK_EQ((intptr_t)result, i + 1);
  }
}

static pid_t thread_ids[40];
static void* tell_identity(void* argument) {
  thread_ids[(intptr_t)argument] = (pid_t)syscall(SYS_gettid);
  return (void*)(intptr_t)getpid();
}

TEST(identities, "threads have ids of their own and the process's pid") {
  for (intptr_t i = 0; i < 40; i++) {
    void* pid;
    pthread_join(start(tell_identity, (void*)i), &pid);
    CHECK_EQ((intptr_t)pid, getpid());
    CHECK(thread_ids[i] != getpid());
  }
  CHECK_EQ(syscall(SYS_gettid), getpid());
}

static __thread long thread_variable = 5;
static __thread char thread_zeroes[3000];

static void* use_thread_variables(void* argument) {
  intptr_t index = (intptr_t)argument;
  CHECK_EQ(thread_variable, 5);
  CHECK_EQ(thread_zeroes[2999], 0);
  thread_variable = index;
  thread_zeroes[2999] = (char)index;
  for (int i = 0; i < 50; i++) sched_yield();
  CHECK_EQ(thread_variable, index);
  CHECK_EQ(thread_zeroes[2999], (char)index);
  return NULL;
}

TEST(thread_local_storage, "each thread has thread-local variables of its own, initialised") {
  run_crowd(use_thread_variables, 20);
  CHECK_EQ(thread_variable, 5);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static long counter;

static void* count_locked(void* argument) {
  for (int i = 0; i < 5000; i++) {
    pthread_mutex_lock(&mutex);
    counter++;
    pthread_mutex_unlock(&mutex);
  }
  return argument;
}

TEST(mutexes, "eight threads that count under a mutex lose nothing") {
  run_crowd(count_locked, crowd);
  CHECK_EQ(counter, crowd * 5000);
}

static long queue[4];
static int queued;

static void* produce(void* argument) {
  for (long i = 1; i <= 2000; i++) {
    pthread_mutex_lock(&mutex);
    while (queued == 4) pthread_cond_wait(&condition, &mutex);
    queue[queued++] = i;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
  }
  return argument;
}

TEST(conditions, "producers and a consumer wait for each other on a condition variable and lose nothing") {
  pthread_t producers[3];
  long sum = 0;
  for (int i = 0; i < 3; i++) producers[i] = start(produce, NULL);
  for (int taken = 0; taken < 3 * 2000; taken++) {
    pthread_mutex_lock(&mutex);
    while (queued == 0) pthread_cond_wait(&condition, &mutex);
    sum += queue[--queued];
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
  }
  for (int i = 0; i < 3; i++) pthread_join(producers[i], NULL);
  CHECK_EQ(sum, 3l * 2000 * 2001 / 2);
}

static long futex(volatile int* word, int operation, int value, const struct timespec* timeout) {
  return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

static volatile int futex_word;
static volatile int waiters;

static void* wait_on_futex(void* argument) {
  __atomic_fetch_add(&waiters, 1, __ATOMIC_SEQ_CST);
  while (futex_word == 0) futex(&futex_word, FUTEX_WAIT_PRIVATE, 0, NULL);
  return argument;
}

TEST(futexes, "a futex wait checks the value, times out, and a wake wakes as many as it says") {
  struct timespec timeout = {0, 30000000};
  CHECK_ERR(futex(&futex_word, FUTEX_WAIT_PRIVATE, 1, NULL), EAGAIN);
  uint64_t before = tap_nanoseconds();
  CHECK_ERR(futex(&futex_word, FUTEX_WAIT_PRIVATE, 0, &timeout), ETIMEDOUT);
  CHECK(tap_nanoseconds() - before >= 30000000);
  CHECK_EQ(futex(&futex_word, FUTEX_WAKE_PRIVATE, 10, NULL), 0);
  timeout.tv_nsec = 1000000000;
  CHECK_ERR(futex(&futex_word, FUTEX_WAIT_PRIVATE, 0, &timeout), EINVAL);
  CHECK_ERR(futex(&futex_word, 77, 0, NULL), ENOSYS);
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) threads[i] = start(wait_on_futex, NULL);
  while (waiters < 3) sched_yield();
  long woken = 0;
  while (woken < 3 && !tap_failures) {  // they may not have reached their wait yet, and go back to it
    long n = futex(&futex_word, FUTEX_WAKE_PRIVATE, 1, NULL);
    CHECK(n == 0 || n == 1);
    woken += n;
    sched_yield();
  }
  futex_word = 1;
  futex(&futex_word, FUTEX_WAKE_PRIVATE, 1000, NULL);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
}

TEST(shared_futex, "a futex in shared memory works between processes, wherever each has it mapped") {
  int fd = create_file(tap_path("file"), "", 0);
  REQUIRE(ftruncate(fd, page_size) == 0);
  volatile int* word = (volatile int*)mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  REQUIRE(word != MAP_FAILED);
  pid_t child = tap_fork();
  if (child == 0) {
    map_anonymous(3);
    volatile int* mine = (volatile int*)mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    while (*mine == 0) futex(mine, FUTEX_WAIT, 0, NULL);
    *mine = 2;
    futex(mine, FUTEX_WAKE, 1, NULL);
    tap_exit();
  }
  for (int i = 0; i < 50; i++) sched_yield();
  *word = 1;
  futex(word, FUTEX_WAKE, 1, NULL);
  while (*word == 1) futex(word, FUTEX_WAIT, 1, NULL);
  CHECK_EQ(*word, 2);
  tap_join(child);
}

static sem_t semaphores[2];
static void* pass_token(void* argument) {
  int mine = (int)(intptr_t)argument;
  for (int i = 0; i < 2000; i++) {
    sem_wait(&semaphores[mine]);
    counter++;
    sem_post(&semaphores[1 - mine]);
  }
  return NULL;
}

TEST(semaphores_alternate, "two threads pass a token 4,000 times through two semaphores") {
  sem_init(&semaphores[0], 0, 1);
  sem_init(&semaphores[1], 0, 0);
  run_crowd(pass_token, 2);
  CHECK_EQ(counter, 4000);
}

static void* spin_forever(void* argument) {
  for (volatile long i = 0;; i++) continue;
  return argument;
}

static void* exit_process(void* argument) {
  _exit((int)(intptr_t)argument);
  return NULL;
}

TEST(exit_group, "exit by any thread ends the process with its status while the others run, wait or sleep") {
  for (int round = 0; round < 10; round++) {
    pid_t child = tap_fork();
    if (child == 0) {
      for (int i = 0; i < 3; i++) start(spin_forever, NULL);
      start(wait_on_futex, NULL);
      start(exit_process, (void*)(intptr_t)(40 + round));
      for (;;) pause();
    }
    CHECK_EQ(tap_wait(child), (40 + round) << 8);
  }
}

static void* crash(void* argument) {
  volatile char* bad = (volatile char*)16;
  __asm__ volatile("" : "+r"(bad));
  *bad = 1;
  return argument;
}

TEST(crash_ends_all, "a bad access by one thread ends the process") {
  pid_t child = tap_fork();
  if (child == 0) {
    start(spin_forever, NULL);
    start(crash, NULL);
    for (;;) pause();
  }
  int status = tap_wait(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void* outlive(void* argument) {
  pthread_join(*(pthread_t*)argument, NULL);
  _exit(23);
}

TEST(first_thread_ends, "a process lives on when its first thread has ended") {
  static pthread_t first;
  pid_t child = tap_fork();
  if (child == 0) {
    first = pthread_self();
    start(outlive, &first);
    pthread_exit(NULL);
  }
  CHECK_EQ(tap_wait(child), 23 << 8);
}

static void* fork_from_thread(void* argument) {
  pid_t child = tap_fork();
  if (child == 0) _exit(syscall(SYS_gettid) == getpid() ? 0 : 1);
  tap_join(child);
  return argument;
}

TEST(fork_in_thread, "fork by any thread makes a process of that thread alone") {
  pthread_t spinner = start(spin_forever, NULL);
  (void)spinner;
  run_crowd(fork_from_thread, crowd);
}

enum { counting_pages = 32 };

static void* count_in_pages(void* pages) {
  for (uint64_t count = 1;; count++)
    for (size_t i = 0; i < counting_pages; i++)
      __atomic_store_n((uint64_t*)pages + i * page_size / sizeof count, count, __ATOMIC_RELEASE);
  return NULL;
}

TEST(one_moment, "a child sees its parent's memory as it was at one moment, though other threads wrote on") {
  const uint64_t* pages = (const uint64_t*)(void*)map_anonymous(counting_pages);
  start(count_in_pages, (void*)pages);
  while (__atomic_load_n(pages, __ATOMIC_ACQUIRE) == 0) sched_yield();
  for (int round = 0; round < 50 && !tap_failures; round++) {
    pid_t child = tap_fork();
    if (child == 0) {
      // The thread has just written the first i pages once more than the others.
      uint64_t newest = pages[0], before = newest;
      for (size_t i = 1; i < counting_pages; i++) {
        uint64_t count = pages[i * page_size / sizeof count];
        CHECK(count == before || count == newest - 1);
        before = count;
      }
      tap_exit();
    }
    tap_join(child);
  }
}

static double iterate(double x, int steps) {
  for (int i = 0; i < steps; i++) x = 3.99 * x * (1.0 - x);
  return x;
}

static void* compute(void* argument) {
  int mine = (int)(intptr_t)argument;
  enum rounding mode = (enum rounding)(mine % 3);
  set_rounding(mode);
  double first = iterate(0.3 + mine * 0.01, 20000);
  for (int i = 0; i < 30; i++) {
    double again = iterate(0.3 + mine * 0.01, 20000);
    if (again != first) FAIL("thread %d: %a, expected %a", mine, again, first);
    CHECK_EQ(get_rounding(), mode);
    sched_yield();
  }
  return NULL;
}

TEST(floating_point,
     "each of eight threads keeps its floating-point registers and rounding mode when switched and moved") {
  run_crowd(compute, crowd);
  CHECK_EQ(get_rounding(), round_to_nearest);
}

static uint64_t latest;

static void* watch_clock(void* argument) {
  for (int i = 0; i < 20000; i++) {
    uint64_t seen = __atomic_load_n(&latest, __ATOMIC_ACQUIRE), now = tap_nanoseconds();
    if (now < seen) {
      FAIL("the clock went back by %llu ns", (unsigned long long)(seen - now));
      break;
    }
    __atomic_compare_exchange_n(&latest, &seen, now, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
  }
  return argument;
}

TEST(monotonic, "the monotonic clock never goes back, whichever hart it is read on") {
  run_crowd(watch_clock, crowd);
}

static void* sleep_exactly(void* argument) {
  uint64_t wanted = 1000000 * (1 + (uint64_t)(intptr_t)argument * 5), before = tap_nanoseconds();
  struct timespec duration = {0, (long)wanted};
  CHECK_EQ(nanosleep(&duration, NULL), 0);
  CHECK(tap_nanoseconds() - before >= wanted);
  return NULL;
}

TEST(sleeping, "eight threads that sleep at once each sleep at least as long as they asked") {
  run_crowd(sleep_exactly, crowd);
  struct timespec when;
  clock_gettime(CLOCK_MONOTONIC, &when);
  when.tv_nsec += 20000000;
  if (when.tv_nsec >= 1000000000) when.tv_sec++, when.tv_nsec -= 1000000000;
  CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL), 0);
  CHECK(tap_nanoseconds() >= (uint64_t)when.tv_sec * 1000000000u + (uint64_t)when.tv_nsec);
  CHECK_ERR(nanosleep(&(struct timespec){0, -1}, NULL), EINVAL);
  CHECK_ERR(nanosleep(&(struct timespec){-1, 0}, NULL), EINVAL);
}

TEST(harts_counted, "the C library counts all harts, whichever of them the thread may run on") {
  cpu_set_t all, first;
  REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
  CHECK_EQ(sysconf(_SC_NPROCESSORS_ONLN), CPU_COUNT(&all));
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  CHECK_EQ(sched_setaffinity(0, sizeof first, &first), 0);
  CHECK_EQ(sysconf(_SC_NPROCESSORS_ONLN), CPU_COUNT(&all));
}
