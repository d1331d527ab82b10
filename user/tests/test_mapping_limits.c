// How much a program may map, what mmap takes besides ordinary files, and how far a stack grows.
#include <limits.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "common/fault.h"
#include "common/pages.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

TEST(more_than_memory, "writable memory beyond all there is is ENOMEM; a reservation is not refused") {
  if (tap_emulated()) SKIP("the emulator's machine decides");
  CHECK_ERR(mmap(NULL, 100 * GIB, RW, ANONYMOUS, -1, 0), ENOMEM);
  CHECK_ERR(mmap(NULL, 100 * GIB, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), ENOMEM);
  if (!tap_loads_in_mmap()) CHECK_OK(mmap(NULL, 100 * GIB, RW, ANONYMOUS | MAP_NORESERVE, -1, 0));
  char* reserved = (char*)mmap(NULL, 64 * GIB, PROT_NONE, ANONYMOUS, -1, 0);
  REQUIRE(reserved != MAP_FAILED);
  CHECK_ERR(mprotect(reserved, 64 * GIB, RW), ENOMEM);
  CHECK_EQ(mprotect(reserved + GIB, 2 * page_size, RW), 0);
  reserved[GIB] = 1;
  char* grown = map_pages(1, RW, ANONYMOUS);
  CHECK_ERR(mremap(grown, page_size, 64 * GIB, MREMAP_MAYMOVE), ENOMEM);
  char* top = (char*)syscall(SYS_brk, 0);
  CHECK(top == (char*)syscall(SYS_brk, top + 64 * GIB));
}

TEST(many_areas, "a space has at most 65530 areas") {
  if (tap_emulated()) SKIP("the emulator's areas are not the program's");
  enum { step = 2 * page_size, pieces = 40000 };
  char* area = (char*)mmap(NULL, (size_t)pieces * step, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0);
  REQUIRE(area != MAP_FAILED);
  int made = 0;
  while (made < pieces && mprotect(area + (size_t)made * step, page_size, PROT_READ) == 0) made++;
  CHECK_EQ(errno, ENOMEM);
  CHECK(made > 32000 && made < 65530 / 2);
  CHECK_EQ(munmap(area, (size_t)pieces * step), 0);
  CHECK_OK(mmap(NULL, page_size, PROT_READ, ANONYMOUS, -1, 0));
}

static void set_limit(int resource, rlim_t soft) {
  struct rlimit limit;
  REQUIRE(getrlimit(resource, &limit) == 0);
  limit.rlim_cur = soft;
  REQUIRE(setrlimit(resource, &limit) == 0);
}

TEST(address_space_limit, "RLIMIT_AS bounds all that is mapped, here and in children") {
  if (tap_emulated()) SKIP("the emulator would be bound as well");
  set_limit(RLIMIT_AS, 64 * MIB);
  CHECK_ERR(mmap(NULL, 128 * MIB, PROT_READ, ANONYMOUS, -1, 0), ENOMEM);
  char* area = (char*)mmap(NULL, 32 * MIB, PROT_NONE, ANONYMOUS, -1, 0);
  REQUIRE(area != MAP_FAILED);
  CHECK_ERR(mmap(NULL, 32 * MIB, PROT_NONE, ANONYMOUS, -1, 0), ENOMEM);
  CHECK_ERR(mremap(area, 32 * MIB, 64 * MIB, MREMAP_MAYMOVE), ENOMEM);
  CHECK_OK(mmap(area, 32 * MIB, PROT_READ, ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0));
  pid_t child = fork();
  if (child == 0) _exit(mmap(NULL, 128 * MIB, PROT_READ, ANONYMOUS, -1, 0) == MAP_FAILED ? 0 : 1);
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK_EQ(status, 0);
}

TEST(data_limit, "RLIMIT_DATA bounds what is private and writable, the heap with it") {
  if (tap_emulated()) SKIP("the emulator would be bound as well");
  set_limit(RLIMIT_DATA, 4 * MIB);
  char* top = (char*)syscall(SYS_brk, 0);
  CHECK(top == (char*)syscall(SYS_brk, top + 8 * MIB));
  CHECK(top + page_size == (char*)syscall(SYS_brk, top + page_size));
  CHECK_ERR(mmap(NULL, 8 * MIB, RW, ANONYMOUS, -1, 0), ENOMEM);
  char* readable = (char*)mmap(NULL, 8 * MIB, PROT_READ, ANONYMOUS, -1, 0);
  REQUIRE(readable != MAP_FAILED);
  CHECK_ERR(mprotect(readable, 8 * MIB, RW), ENOMEM);
  CHECK_OK(mmap(NULL, 8 * MIB, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

TEST(stack_limit, "RLIMIT_STACK bounds how far the stack grows from now on") {
  if (tap_emulated()) SKIP("the emulator's stack is another");
  fault_catch();
  char* here = (char*)__builtin_frame_address(0);
  set_limit(RLIMIT_STACK, MIB / 2);
  CHECK_NO_FAULT(access_write, here - MIB / 4);
  CHECK_FAULT(access_write, here - MIB, SIGSEGV, SEGV_MAPERR);
}

TEST(lock_limit, "RLIMIT_MEMLOCK bounds what others than root lock: ENOMEM, EAGAIN for mmap, EPERM at zero") {
  if (tap_emulated()) SKIP("the emulator does not lock");
  if (geteuid() == 0) REQUIRE(setuid(1000) == 0);
  set_limit(RLIMIT_MEMLOCK, 4 * page_size);
  char* area = map_anonymous(8);
  CHECK_EQ(mlock(area, 4 * page_size), 0);
  CHECK_EQ(mlock(area, 4 * page_size), 0);
  CHECK_ERR(mlock(area + 4 * page_size, page_size), ENOMEM);
  CHECK_ERR(mmap(NULL, page_size, RW, ANONYMOUS | MAP_LOCKED, -1, 0), EAGAIN);
  CHECK_ERR(mlockall(MCL_CURRENT), ENOMEM);
  set_limit(RLIMIT_MEMLOCK, 0);
  CHECK_ERR(mlock(area, page_size), EPERM);
}

TEST(zero_device, "/dev/zero maps as memory of zeroes: private, or shared with children") {
  int fd = open("/dev/zero", O_RDWR);
  REQUIRE(fd >= 0);
  char* private = (char*)mmap(NULL, 2 * page_size, RW, MAP_PRIVATE, fd, 0);
  char* shared = (char*)mmap(NULL, 2 * page_size, RW, MAP_SHARED, fd, 0);
  char* other = (char*)mmap(NULL, page_size, RW, MAP_SHARED, fd, 5 * page_size);
  REQUIRE(private != MAP_FAILED && shared != MAP_FAILED && other != MAP_FAILED);
  CHECK_EQ(private[page_size], 0);
  pid_t child = fork();
  if (child == 0) {
    private[0] = shared[0] = shared[page_size] = 'c';
    _exit(0);
  }
  REQUIRE(waitpid(child, NULL, 0) == child);
  CHECK_EQ(private[0], 0);
  CHECK_EQ(shared[0], 'c');
  CHECK_EQ(shared[page_size], 'c');
  CHECK_EQ(other[0], 0);
  CHECK_ERR(mmap(NULL, page_size, PROT_READ, MAP_PRIVATE, open("/dev/null", O_RDWR), 0), ENODEV);
}

TEST(empty_file, "an empty file is mapped; its pages are SIGBUS until it grows") {
  int fd = create_file(tap_path("empty"), "", 0);
  if (tap_emulated()) SKIP("this emulator asks the file for its length");
  char* shared = (char*)mmap(NULL, 1, RW, MAP_SHARED, fd, 0);
  char* private = (char*)mmap(NULL, 1, RW, MAP_PRIVATE, fd, 0);
  REQUIRE(shared != MAP_FAILED && private != MAP_FAILED);
  fault_catch();
  CHECK_FAULT(access_read, shared, SIGBUS, BUS_ADRERR);
  CHECK_FAULT(access_write, private, SIGBUS, BUS_ADRERR);
  REQUIRE(ftruncate(fd, page_size) == 0);
  shared[0] = 'x';
  char byte = 0;
  CHECK_EQ(pread(fd, &byte, 1, 0), 1);
  CHECK_EQ(byte, 'x');
  CHECK_EQ(private[0], 'x');
}

TEST(order_of_errors, "a bad descriptor comes before a bad length; MAP_SHARED_VALIDATE knows its flags") {
  if (tap_emulated()) SKIP("this emulator checks in an order of its own");
  CHECK_ERR(mmap(NULL, 0, PROT_READ, MAP_SHARED, -1, 0), EBADF);
  int fd = create_file(tap_path("file"), "x", 1);
  CHECK_ERR(mmap(NULL, page_size, PROT_READ, MAP_SHARED_VALIDATE | 1 << 30, fd, 0), EOPNOTSUPP);
  CHECK_OK(mmap(NULL, page_size, PROT_READ, MAP_SHARED | 1 << 30, fd, 0));
  CHECK_OK(mmap(NULL, page_size, PROT_READ, MAP_SHARED_VALIDATE, fd, 0));
  CHECK_ERR(mmap(NULL, page_size, PROT_READ, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0), EINVAL);
}

TEST(grows_down, "an area with MAP_GROWSDOWN grows by a fault below it, no closer than a gap to the next") {
  if (tap_emulated()) SKIP("this emulator does not grow areas");
  enum { room = 300, gap = 256 };  // no longer than the least limit of stacks
  fault_catch();
  char* area = map_pages(room, PROT_NONE, ANONYMOUS);
  REQUIRE(munmap(area + page_size, (room - 1) * page_size) == 0);
  REQUIRE(mprotect(area, page_size, RW) == 0);
  char* top = (char*)mmap(area + (room - 4) * page_size, 4 * page_size, RW,
                          ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
  REQUIRE(top == area + (room - 4) * page_size);
  CHECK_NO_FAULT(access_write, top - page_size);
  CHECK_NO_FAULT(access_write, area + (gap + 1) * page_size);
  CHECK_FAULT(access_write, area + gap * page_size, SIGSEGV, SEGV_MAPERR);
  // What is mapped without rights needs no distance.
  REQUIRE(mprotect(area, page_size, PROT_NONE) == 0);
  CHECK_NO_FAULT(access_write, area + page_size);
}

TEST(growth_by_the_kernel, "a system call that writes below a stack makes it grow as the program would") {
  if (tap_emulated()) SKIP("this emulator does not grow areas");
  char* area = map_pages(64, PROT_NONE, ANONYMOUS);
  REQUIRE(munmap(area, 64 * page_size) == 0);
  char* top =
      (char*)mmap(area + 60 * page_size, 4 * page_size, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
  REQUIRE(top == area + 60 * page_size);
  int fd = create_file(tap_path("file"), "abc", 3);
  CHECK_EQ(pread(fd, top - 2 * page_size, 3, 0), 3);
  CHECK_EQ(top[-2 * page_size], 'a');
}

static char alternate[65536];

__attribute__((noinline)) static int recurse(int depth) {
  volatile char frame[2000];
  frame[0] = (char)depth;
  return depth < INT_MAX ? recurse(depth + 1) + frame[0] : 0;
}

TEST(under_the_stack, "the stack ends in SIGSEGV before it reaches what is mapped below it") {
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  REQUIRE(sigaltstack(&stack, NULL) == 0);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = fault_handler;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  REQUIRE(sigaction(SIGSEGV, &action, NULL) == 0);
  char here;
  size_t distance = tap_loads_in_mmap() ? MIB + MIB / 8 : 3 * MIB;
  char* below = (char*)(((uintptr_t)&here - distance) & ~(uintptr_t)(page_size - 1));
  REQUIRE(mmap(below, page_size, RW, ANONYMOUS | MAP_FIXED, -1, 0) == below);
  memset(below, 0x5a, page_size);
  if (sigsetjmp(fault_return, 1) == 0) {
    fault_expected = 1;
    recurse(0);
  }
  fault_expected = 0;
  CHECK_EQ(fault_seen.signal, SIGSEGV);
  CHECK(fault_seen.address >= (uintptr_t)below + 256 * page_size - 8 * page_size || tap_emulated());
  for (int i = 0; i < page_size; i++) REQUIRE(below[i] == 0x5a);
}
