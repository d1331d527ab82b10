// mmbench: what memory management costs. One static program that runs unmodified on Linux and here.
//
// Times are read with rdtime. Under QEMU's `-icount shift=0` one tick of the 10 MHz timebase is 100 retired
// instructions, so "insns" below are exact to about 100 divided by the number of iterations. Elsewhere the
// figures are tens of nanoseconds times 100, and only good for comparing runs on one machine.
//
//   mmbench        every row for one hart
//   mmbench smp    also unmapping with threads running on other harts
//   mmbench par    faults in parallel, in wall time: without -icount
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__riscv)
static inline uint64_t now(void) {
  uint64_t ticks;
  asm volatile("rdtime %0" : "=r"(ticks)::"memory");
  return ticks;
}
#else
#include <time.h>
// The same unit where there is no rdtime: 100 nanoseconds.
static inline uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 10000000 + (uint64_t)time.tv_nsec / 100;
}
#endif

enum { kMostThreads = 16 };
static const size_t kPage = 4096;
static const size_t kMebibyte = 1 << 20;

static void report(const char* name, uint64_t ticks, double operations) {
  printf("BENCH %-28s %12.1f insns/op\n", name, (double)ticks * 100.0 / operations);
  fflush(stdout);
}

static double pages_of(size_t size) { return (double)size / (double)kPage; }

static void skip(const char* name, const char* reason) {
  printf("BENCH %s SKIP %s\n", name, reason);
  fflush(stdout);
}

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static char* map_anonymous(size_t size) {
  char* memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  return memory;
}

// Writes one byte in each page.
static void touch(volatile char* memory, size_t size) {
  for (size_t i = 0; i < size; i += kPage) memory[i] = 1;
}

static void bench_null_syscall(void) {
  enum { kIterations = 20000 };
  uint64_t begin = now();
  for (int i = 0; i < kIterations; i++) syscall(SYS_getppid);
  report("syscall_getppid", now() - begin, kIterations);
}

static void bench_anonymous(size_t mebibytes) {
  size_t size = mebibytes * kMebibyte;
  char* memory = map_anonymous(size);
  char name[64];
  madvise(memory, size, MADV_NOHUGEPAGE);
  uint64_t begin = now();
  touch(memory, size);
  uint64_t ticks = now() - begin;
  snprintf(name, sizeof name, "anon_write_fault_%zuM", mebibytes);
  report(name, ticks, pages_of(size));
  begin = now();
  munmap(memory, size);
  ticks = now() - begin;
  snprintf(name, sizeof name, "munmap_resident_page_%zuM", mebibytes);
  report(name, ticks, pages_of(size));
}

// Faults of a file that the page cache holds already: the second pass.
static int bench_mapped_file(int fd, size_t size) {
  for (int pass = 0; pass < 2; pass++) {
    volatile char* memory = mmap(0, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED) return -1;
    uint64_t begin = now();
    char sum = 0;
    for (size_t i = 0; i < size; i += kPage) sum += memory[i];
    uint64_t ticks = now() - begin;
    if (pass == 1) report("file_read_fault_cached", ticks, pages_of(size));
    munmap((void*)memory, size);
    (void)sum;
  }
  return 0;
}

static void bench_file(void) {
  enum { kBlock = 1 << 16 };
  size_t size = 4 * kMebibyte;
  int fd = open("mmbench.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (fd < 0) return skip("file_fault", "open");
  char* buffer = malloc(kBlock);
  if (buffer == NULL) fail("malloc");
  memset(buffer, 7, kBlock);
  const char* failed = NULL;
  for (size_t i = 0; i < size && failed == NULL; i += kBlock) {
    if (write(fd, buffer, kBlock) != kBlock) failed = "write";
  }
  if (failed == NULL && bench_mapped_file(fd, size) < 0) failed = "mmap";
  if (failed == NULL) {
    lseek(fd, 0, SEEK_SET);
    uint64_t begin = now();
    for (size_t i = 0; i < size; i += kBlock) {
      if (read(fd, buffer, kBlock) < 0) break;
    }
    report("file_read_4k_cached", now() - begin, pages_of(size));
  } else {
    skip("file_fault", failed);
  }
  free(buffer);
  close(fd);
  unlink("mmbench.tmp");
}

// The child writes pages that it shares with the parent; then the parent, the only owner again, writes them.
static void bench_cow(void) {
  size_t size = 8 * kMebibyte;
  char* memory = map_anonymous(size);
  madvise(memory, size, MADV_NOHUGEPAGE);
  touch(memory, size);
  int ends[2];
  if (pipe(ends) < 0) fail("pipe");
  fflush(stdout);
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    uint64_t begin = now();
    touch(memory, size);
    uint64_t ticks = now() - begin;
    _exit(write(ends[1], &ticks, sizeof ticks) == sizeof ticks ? 0 : 1);
  }
  uint64_t ticks;
  if (read(ends[0], &ticks, sizeof ticks) != sizeof ticks) fail("read");
  waitpid(child, 0, 0);
  report("cow_write_fault", ticks, pages_of(size));
  uint64_t begin = now();
  touch(memory, size);
  report("cow_sole_owner_fault", now() - begin, pages_of(size));
  munmap(memory, size);
  close(ends[0]);
  close(ends[1]);
}

// A machine that is too small is no reason to lose the rows that follow.
static int has_memory_for(size_t size) {
  struct sysinfo info;
  return sysinfo(&info) == 0 && size + size / 8 <= (uint64_t)info.totalram * info.mem_unit;
}

static void bench_fork(size_t mebibytes) {
  size_t size = mebibytes * kMebibyte;
  char name[64];
  snprintf(name, sizeof name, "fork_call_%zuM", mebibytes);
  if (!has_memory_for(size)) return skip(name, "not enough memory");
  char* memory = size ? map_anonymous(size) : NULL;
  if (size) {
    madvise(memory, size, MADV_NOHUGEPAGE);
    touch(memory, size);
  }
  int iterations = mebibytes >= 64 ? 5 : 50;
  fflush(stdout);
  uint64_t inside = 0;
  uint64_t begin = now();
  for (int i = 0; i < iterations; i++) {
    uint64_t before = now();
    pid_t child = fork();
    if (child == 0) _exit(0);
    inside += now() - before;
    if (child < 0) fail("fork");
    waitpid(child, 0, 0);
  }
  uint64_t all = now() - begin;
  report(name, inside, iterations);
  snprintf(name, sizeof name, "fork_exit_wait_%zuM", mebibytes);
  report(name, all, iterations);
  if (size) munmap(memory, size);
}

static void bench_exec(void) {
  // Not argv[0], which is no path if a shell found the program in PATH.
  const char* self = (const char*)getauxval(AT_EXECFN);
  enum { kIterations = 20 };
  fflush(stdout);
  uint64_t begin = now();
  for (int i = 0; i < kIterations; i++) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      execl(self, self, "exit", (char*)0);
      _exit(9);
    }
    int status;
    waitpid(child, &status, 0);
    if (status != 0) return skip("exec", "the child failed");
  }
  report("fork_exec_exit_wait", now() - begin, kIterations);
}

static void bench_small_mappings(void) {
  enum { kIterations = 2000 };
  uint64_t begin = now();
  for (int i = 0; i < kIterations; i++) munmap(map_anonymous(kPage), kPage);
  report("mmap_munmap_untouched", now() - begin, kIterations);
  begin = now();
  for (int i = 0; i < kIterations; i++) {
    char* page = map_anonymous(kPage);
    *(volatile char*)page = 1;
    munmap(page, kPage);
  }
  report("mmap_touch_munmap", now() - begin, kIterations);
  char* memory = map_anonymous(64 * kPage);
  touch(memory, 64 * kPage);
  begin = now();
  for (int i = 0; i < kIterations; i++) {
    mprotect(memory, kPage, PROT_READ);
    mprotect(memory, kPage, PROT_READ | PROT_WRITE);
  }
  report("mprotect_pair", now() - begin, kIterations);
  munmap(memory, 64 * kPage);
}

// The same in a space with many areas, which are kept apart by holes.
static void bench_many_areas(void) {
  enum { kAreas = 4000, kIterations = 2000 };
  static char* areas[kAreas];
  char* range = mmap(0, 2UL * kAreas * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (range == MAP_FAILED) fail("mmap");
  munmap(range, 2UL * kAreas * kPage);
  for (size_t i = 0; i < kAreas; i++) {
    areas[i] = mmap(range + 2 * i * kPage, kPage, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (areas[i] == MAP_FAILED) fail("mmap");
  }
  uint64_t begin = now();
  for (int i = 0; i < kIterations; i++) munmap(map_anonymous(kPage), kPage);
  report("mmap_munmap_with_4000_vmas", now() - begin, kIterations);
  begin = now();
  for (unsigned i = 0; i < kAreas; i++) *(volatile char*)areas[(i * 2654435761u) % kAreas] = 1;
  report("fault_random_among_4000_vmas", now() - begin, kAreas);
  for (int i = 0; i < kAreas; i++) munmap(areas[i], kPage);
}

static void bench_pipe(void) {
  enum { kIterations = 1000 };
  int there[2];
  int back[2];
  char byte = 0;
  if (pipe(there) < 0 || pipe(back) < 0) fail("pipe");
  fflush(stdout);
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    for (int i = 0; i < kIterations; i++) {
      if (read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1) _exit(1);
    }
    _exit(0);
  }
  uint64_t begin = now();
  for (int i = 0; i < kIterations; i++) {
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) fail("pipe");
  }
  report("pipe_round_trip", now() - begin, kIterations);
  waitpid(child, 0, 0);
  for (int i = 0; i < 2; i++) {
    close(there[i]);
    close(back[i]);
  }
}

static atomic_int stop;
static atomic_int ready;

static void* spin(void* unused) {
  atomic_fetch_add(&ready, 1);
  while (!atomic_load(&stop)) {
  }
  return unused;
}

// Starts threads and waits until all of them run; false if one cannot be started.
static int start_threads(pthread_t* threads, int count, void* (*body)(void*)) {
  atomic_store(&stop, 0);
  atomic_store(&ready, 0);
  for (int i = 0; i < count; i++) {
    if (pthread_create(&threads[i], 0, body, 0) == 0) continue;
    atomic_store(&stop, 1);
    while (i-- > 0) pthread_join(threads[i], 0);
    return 0;
  }
  while (atomic_load(&ready) < count) usleep(1000);
  return 1;
}

static void bench_shootdown(int count) {
  enum { kIterations = 100 };
  pthread_t threads[kMostThreads];
  char name[64];
  if (!start_threads(threads, count, spin)) return skip("shootdown", "pthread_create");
  uint64_t begin = now();
  for (int i = 0; i < kIterations; i++) {
    char* page = map_anonymous(kPage);
    *(volatile char*)page = 1;
    munmap(page, kPage);
  }
  snprintf(name, sizeof name, "munmap_shootdown_%dthr", count);
  report(name, now() - begin, kIterations);
  atomic_store(&stop, 1);
  for (int i = 0; i < count; i++) pthread_join(threads[i], 0);
}

enum { kParallelIterations = 200 };

static void* fault_repeatedly(void* unused) {
  atomic_fetch_add(&ready, 1);
  while (!atomic_load(&stop)) {
  }
  for (int i = 0; i < kParallelIterations; i++) {
    char* memory = map_anonymous(kMebibyte);
    touch(memory, kMebibyte);
    munmap(memory, kMebibyte);
  }
  return unused;
}

static void bench_parallel_faults(int count) {
  pthread_t threads[kMostThreads];
  if (!start_threads(threads, count, fault_repeatedly)) return skip("par", "pthread_create");
  uint64_t begin = now();
  atomic_store(&stop, 1);
  for (int i = 0; i < count; i++) pthread_join(threads[i], 0);
  double pages = (double)count * kParallelIterations * pages_of(kMebibyte);
  printf("BENCH parallel_fault_%dthr %12.1f ns/page\n", count, (double)(now() - begin) * 100.0 / pages);
  fflush(stdout);
}

int main(int argc, char** argv) {
  const char* mode = argc > 1 ? argv[1] : "";
  if (strcmp(mode, "exit") == 0) _exit(0);  // what bench_exec executes
  if (strcmp(mode, "par") == 0) {
    bench_parallel_faults(1);
    bench_parallel_faults(2);
    return 0;
  }
  setvbuf(stdout, 0, _IOLBF, 0);
  bench_null_syscall();
  bench_anonymous(8);
  bench_anonymous(64);
  bench_file();
  bench_cow();
  bench_fork(0);
  bench_fork(16);
  bench_fork(64);
  bench_fork(256);
  bench_exec();
  bench_small_mappings();
  bench_many_areas();
  bench_pipe();
  if (strcmp(mode, "smp") == 0) {
    bench_shootdown(1);
    bench_shootdown(3);
  }
  printf("BENCH done\n");
  return 0;
}
