// Futexes beyond what the C library's locks use: bit sets, requeueing, addresses, robust lists; and signals
// to threads by their numbers.
#include <linux/futex.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "common/threads.h"
#include "common/turns.h"

static long futex(uint32_t* word, int operation, uint32_t value, const void* timeout, uint32_t* second,
                  uint32_t third) {
  return syscall(SYS_futex, word, operation, value, timeout, second, third);
}

static uint32_t word, target;
static int woken[crowd];
static pid_t ids[crowd];

// Whether the thread sleeps: its state as /proc tells it of the process it is in.
static void* wait_with_own_bit(void* argument) {
  intptr_t self = (intptr_t)argument;
  __atomic_store_n(&ids[self], gettid(), __ATOMIC_SEQ_CST);
  futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 1u << self);
  __atomic_store_n(&woken[self], 1, __ATOMIC_SEQ_CST);
  return NULL;
}

// FUTEX_REQUEUE moves everybody from a word to itself and says how many there are.
static void await_sleepers(uint32_t* at, int count) {
  while (futex(at, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void*)INT32_MAX, at, *at) != count) sched_yield();
}

static void await_woken(int index) {
  while (!__atomic_load_n(&woken[index], __ATOMIC_SEQ_CST)) sched_yield();
}

TEST(bit_sets, "a wake with a bit set reaches just those whose own has a bit in common") {
  pthread_t threads[4];
  for (intptr_t i = 0; i < 4; i++) threads[i] = start(wait_with_own_bit, (void*)i);
  await_sleepers(&word, 4);
  CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 1u << 2), 1);
  await_woken(2);
  CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 1u << 7), 0);
  CHECK_EQ(woken[0] + woken[1] + woken[3], 0);
  CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 1u << 0 | 1u << 3), 2);
  await_woken(0);
  await_woken(3);
  CHECK_EQ(woken[1], 0);
  CHECK_ERR(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 0), EINVAL);
  CHECK_ERR(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 0), EINVAL);
  CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 1);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

TEST(requeue, "requeued waiters sleep for the other word: its wakes reach them, those of the first do not") {
  pthread_t threads[3];
  for (intptr_t i = 0; i < 3; i++) threads[i] = start(wait_with_own_bit, (void*)i);
  await_sleepers(&word, 3);
  CHECK_ERR(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void*)10, &target, 1), EAGAIN);
  CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void*)10, &target, 0), 3);
  CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 0);
  CHECK_EQ(futex(&target, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 2);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
}

static void nothing(int number) { (void)number; }

static void* wait_interrupted(void* argument) {
  __atomic_store_n(&ids[0], gettid(), __ATOMIC_SEQ_CST);
  errno = 0;
  long result = futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
  *(int*)argument = result == -1 ? errno : 0;
  return NULL;
}

TEST(requeued_and_interrupted, "a signal ends the sleep of a requeued waiter") {
  struct sigaction action = {.sa_handler = nothing};
  REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
  int error = 0;
  pthread_t thread = start(wait_interrupted, &error);
  await_sleepers(&word, 1);
  CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void*)1, &target, 0), 1);
  CHECK_EQ(tgkill(getpid(), ids[0], SIGUSR1), 0);
  pthread_join(thread, NULL);
  CHECK_EQ(error, EINTR);
  CHECK_EQ(futex(&target, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0);
}

TEST(addresses, "a shared futex must be mapped, a private one only have an address") {
  uint32_t* gone = (uint32_t*)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(gone != MAP_FAILED && munmap(gone, 4096) == 0);
  CHECK_ERR(futex(gone, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
  CHECK_ERR(futex(&word, FUTEX_CMP_REQUEUE, 0, (void*)0, gone, 0), EFAULT);
  CHECK_ERR(futex(gone, FUTEX_CMP_REQUEUE, 0, (void*)0, &word, 0), EFAULT);
  CHECK_EQ(futex(gone, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0);
  CHECK_ERR(futex((uint32_t*)((char*)&word + 1), FUTEX_WAKE, 1, NULL, NULL, 0), EINVAL);
  CHECK_ERR(futex((uint32_t*)-4096, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), EFAULT);
}

// A robust futex: a link and, behind it, the word.
struct entry {
  struct robust_list link;
  uint32_t futex;
};
static struct entry mine, of_another, pending, free_one;
static struct robust_list_head head;

static void* end_holding_locks(void* argument) {
  uint32_t self = (uint32_t)gettid();
  mine.futex = self | FUTEX_WAITERS;
  of_another.futex = (self + 1) | FUTEX_WAITERS;
  free_one.futex = 0;
  pending.futex = self;
  head.list.next = &mine.link;
  mine.link.next = &of_another.link;
  of_another.link.next = &free_one.link;
  free_one.link.next = &head.list;
  head.futex_offset = offsetof(struct entry, futex);
  head.list_op_pending = &pending.link;
  *(uint32_t*)argument = self;
  REQUIRE(syscall(SYS_set_robust_list, &head, sizeof head) == 0);
  return NULL;
}

TEST(robust_lists, "the end of a thread marks the words that it owns, and leaves those of others alone") {
  if (tap_emulated()) SKIP("the emulator keeps no robust lists");
  uint32_t owner = 0;
  pthread_join(start(end_holding_locks, &owner), NULL);
  CHECK_EQ(mine.futex, FUTEX_OWNER_DIED | FUTEX_WAITERS);
  CHECK_EQ(of_another.futex, (owner + 1) | FUTEX_WAITERS);
  CHECK_EQ(free_one.futex, 0);
  CHECK_EQ(pending.futex, FUTEX_OWNER_DIED);
}

static int round_begun, round_over;

static void set_word(int number) {
  (void)number;
  word = 1;
}

// A handler that runs before the call makes it return at once, one that runs during it ends it.
static void* wait_for_signals(void* argument) {
  __atomic_store_n(&ids[0], gettid(), __ATOMIC_SEQ_CST);
  for (int i = 1; i <= (int)(intptr_t)argument; i++) {
    __atomic_store_n(&word, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&round_begun, i, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0) futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    __atomic_store_n(&round_over, i, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

TEST(signal_before_sleep, "a signal that comes while a thread goes to sleep on a futex wakes it") {
  enum { rounds = 3000 };
  struct sigaction action = {.sa_handler = set_word};
  REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
  pthread_t thread = start(wait_for_signals, (void*)(intptr_t)rounds);
  for (int i = 1; i <= rounds; i++) {
    while (__atomic_load_n(&round_begun, __ATOMIC_SEQ_CST) < i) {
    }
    for (volatile int delay = i % 100; delay > 0; delay--) {
    }
    tgkill(getpid(), ids[0], SIGUSR1);
    while (__atomic_load_n(&round_over, __ATOMIC_SEQ_CST) < i) sched_yield();
  }
  pthread_join(thread, NULL);
}

static int ends[2];

static void* read_one(void* argument) {
  char byte;
  *(ssize_t*)argument = read(ends[0], &byte, 1);
  return NULL;
}

TEST(two_readers, "each of two readers of a pipe gets one of the bytes that are written one by one") {
  REQUIRE(pipe(ends) == 0);
  for (int i = 0; i < 500; i++) {
    ssize_t got[2] = {0, 0};
    pthread_t first = start(read_one, &got[0]), second = start(read_one, &got[1]);
    REQUIRE(write(ends[1], "a", 1) == 1);
    REQUIRE(write(ends[1], "b", 1) == 1);
    pthread_join(first, NULL);
    pthread_join(second, NULL);
    CHECK_EQ(got[0] + got[1], 2);
  }
}

TEST(two_readers_at_once, "two bytes written at once wake both readers") {
  REQUIRE(pipe(ends) == 0);
  for (int i = 0; i < 500; i++) {
    ssize_t got[2] = {0, 0};
    pthread_t first = start(read_one, &got[0]), second = start(read_one, &got[1]);
    if (i % 2) sched_yield();
    REQUIRE(write(ends[1], "ab", 2) == 2);
    pthread_join(first, NULL);
    pthread_join(second, NULL);
    CHECK_EQ(got[0] + got[1], 2);
  }
}

static volatile sig_atomic_t handled;
static void handle(int number) {
  (void)number;
  handled = handled + 1;
}

static volatile int stop;

static void* spin_with_signal_blocked(void* argument) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  __atomic_store_n((pid_t*)argument, gettid(), __ATOMIC_SEQ_CST);
  while (!stop) sched_yield();
  return NULL;
}

TEST(thread_numbers, "kill and rt_sigqueueinfo take a thread's number for its process") {
  struct sigaction action = {.sa_handler = handle};
  REQUIRE(sigaction(SIGUSR2, &action, NULL) == 0);
  pid_t id = 0;
  pthread_t thread = start(spin_with_signal_blocked, &id);
  while (!__atomic_load_n(&id, __ATOMIC_SEQ_CST)) sched_yield();
  CHECK_EQ(kill(id, 0), 0);
  CHECK_EQ(kill(id, SIGUSR2), 0);
  while (handled < 1) sched_yield();
  siginfo_t info = {.si_code = SI_QUEUE};
  CHECK_EQ(syscall(SYS_rt_sigqueueinfo, id, SIGUSR2, &info), 0);
  while (handled < 2) sched_yield();
  stop = 1;
  pthread_join(thread, NULL);
}

static char bare_stack[65536] __attribute__((aligned(16)));
static volatile int bare_done;

static int run_bare(void* argument) {
  (void)argument;
  __atomic_store_n(&bare_done, 1, __ATOMIC_SEQ_CST);
  syscall(SYS_exit, 0);
  return 0;
}

TEST(bare_thread, "a thread needs to share memory and signal actions with its process, and nothing else") {
  if (tap_emulated()) SKIP("the emulator makes only the threads of its C library");
  CHECK(clone(run_bare, bare_stack + sizeof bare_stack, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, NULL) > 0);
  while (!__atomic_load_n(&bare_done, __ATOMIC_SEQ_CST)) sched_yield();
  CHECK_ERR(clone(run_bare, bare_stack + sizeof bare_stack, CLONE_THREAD, NULL), EINVAL);
  CHECK_ERR(clone(run_bare, bare_stack + sizeof bare_stack, CLONE_THREAD | CLONE_VM, NULL), EINVAL);
  CHECK_ERR(clone(run_bare, bare_stack + sizeof bare_stack, CLONE_SIGHAND, NULL), EINVAL);
}

static void* sleep_or_spin(void* argument) {
  if (argument != NULL)
    while (!stop) {
    }
  else
    pause();
  return NULL;
}

TEST(main_state, "the state of a process is that of its first thread, whatever the others do") {
  int told[2];
  REQUIRE(pipe(told) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    start(sleep_or_spin, (void*)1);
    REQUIRE(write(told[1], "r", 1) == 1);
    for (;;) pause();
  }
  char byte;
  REQUIRE(read(told[0], &byte, 1) == 1);
  wait_until_asleep(child);
  kill(child, SIGKILL);
  tap_wait(child);
}
