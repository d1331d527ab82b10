// Every system call that takes a pointer, against every kind of pointer that a program must not get away
// with: EFAULT, never a crash, and never a byte read or written where the program itself could not.
#include "common/badptr_table.h"
#include "common/pages.h"

static long invoke(const struct call* call, const void* pointer) {
  long a[6];
  for (int i = 0; i < 6; i++) a[i] = call->arguments[i] == POINTER ? (long)pointer : call->arguments[i];
  errno = 0;
  long result = syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
  return result == -1 ? -errno : result;
}

// As invoke, for a call that on success never returns: 0 then stands for success.
static long invoke_in_child(const struct call* call, const void* pointer) {
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    long result = invoke(call, pointer);
    REQUIRE(write(ends[1], &result, sizeof result) == sizeof result);
    tap_exit();
  }
  close(ends[1]);
  long result = 0;
  ssize_t n = read(ends[0], &result, sizeof result);
  close(ends[0]);
  tap_wait(child);
  return n == sizeof result ? result : 0;
}

static long result_of(const struct call* call, const void* pointer) {
  return call->in_child ? invoke_in_child(call, pointer) : invoke(call, pointer);
}

// User-mode emulation takes these pointers for none, or does not look at them.
static bool emulator_accepts(const struct call* call) {
  return tap_emulated() &&
         (call->number == SYS_nanosleep || call->number == SYS_clock_getres || call->number == SYS_sysinfo);
}

static void expect_fault(const struct call* call, const void* pointer) {
  if (emulator_accepts(call)) return;
  long result = result_of(call, pointer);
  if (result == -EFAULT || result == -ENOSYS) return;
  if (call->other_error && result == -call->other_error) return;
  FAIL("%s with pointer %p returned %ld, expected EFAULT", call->name, pointer, result);
}

static void fault_at(const struct call* call, void* pointer) { expect_fault(call, pointer); }

static void fault_unless_none(const struct call* call, void* pointer) {
  if (!call->null_allowed) expect_fault(call, pointer);
}

TEST(null, "a null pointer is EFAULT wherever it does not mean none") {
  badptr_prepare();
  badptr_for_each(fault_unless_none, NULL);
}

TEST(low_unaligned, "an odd address in the never-mapped first page is EFAULT") {
  badptr_prepare();
  badptr_for_each(fault_at, (void*)1);
}

TEST(kernel_half, "an address in the kernel's half is EFAULT") {
  if (tap_emulated()) SKIP("this emulator has no kernel half");
  badptr_prepare();
#ifdef __riscv
  badptr_for_each(fault_at, (void*)0xffffffc000200000ul);
  badptr_for_each(fault_at, (void*)0xffffffff80000000ul);
#endif
  badptr_for_each(fault_at, (void*)0xfffffffffffff000ul);
}

TEST(last_byte, "an address whose range wraps around the end of the address space is EFAULT") {
  badptr_prepare();
  badptr_for_each(fault_at, (void*)0xfffffffffffffffful);
}

TEST(non_canonical, "an address that no page table can translate is EFAULT") {
  if (tap_emulated()) SKIP("this emulator does not look at the upper bits");
  badptr_prepare();
  badptr_for_each(fault_at, (void*)0x4000000000000000ul);
  badptr_for_each(fault_at, (void*)0x0100000000001000ul);
}

TEST(unmapped, "an address in a hole is EFAULT") {
  badptr_prepare();
  char* hole = map_anonymous(2);
  REQUIRE(munmap(hole, 2 * page_size) == 0);
  badptr_for_each(fault_at, hole + 64);
}

TEST(no_access, "an address in a PROT_NONE page is EFAULT") {
  badptr_prepare();
  badptr_for_each(fault_at, map_pages(2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS) + 64);
}

static void fault_if_written(const struct call* call, void* pointer) {
  if (call->direction == direction_out) expect_fault(call, pointer);
}

TEST(read_only, "a call that would write into a read-only page is EFAULT, touched or not") {
  badptr_prepare();
  char* untouched = map_pages(4, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
  badptr_for_each(fault_if_written, untouched);
  char* touched = map_anonymous(4);
  memset(touched, 'r', 4 * page_size);
  REQUIRE(mprotect(touched, 4 * page_size, PROT_READ) == 0);
  badptr_for_each(fault_if_written, touched);
  for (int i = 0; i < 4 * page_size; i++)
    if (touched[i] != 'r') {
      FAIL("byte %d was written", i);
      break;
    }
}

// `context` is the end of the last mapped page.
static void fault_if_crossing(const struct call* call, void* context) {
  if (call->size == 0) return;
  size_t inside = call->size == 1 ? 8 : call->size / 2;
  memset((char*)context - page_size, call->direction == direction_string ? 'x' : 0, page_size);
  expect_fault(call, (char*)context - inside);
}

TEST(crossing_hole, "a structure or string that runs from a good page into a hole is EFAULT") {
  badptr_prepare();
  char* pages = map_anonymous(2);
  REQUIRE(munmap(pages + page_size, page_size) == 0);
  badptr_for_each(fault_if_crossing, pages + page_size);
}

TEST(crossing_no_access, "a structure or string that runs from a good page into a PROT_NONE page is EFAULT") {
  badptr_prepare();
  char* pages = map_anonymous(2);
  REQUIRE(mprotect(pages + page_size, page_size, PROT_NONE) == 0);
  badptr_for_each(fault_if_crossing, pages + page_size);
}

static void no_fault(const struct call* call, void* pointer) {
  if (call->in_child) return;
  memset(pointer, 0, 4096);
  long result = invoke(call, pointer);
  if (result == -ENOSYS) NOTE("%s is not implemented", call->name);
  if (result == -EFAULT) FAIL("%s with good pointer %p returned EFAULT", call->name, pointer);
}

TEST(good, "the same calls accept an aligned address of memory") {
  badptr_prepare();
  badptr_for_each(no_fault, map_anonymous(4));
}

TEST(good_unaligned, "the same calls accept an odd address of memory") {
  badptr_prepare();
  badptr_for_each(no_fault, map_anonymous(4) + 33);
}

// Gives the call a fresh pair of pages, the structure lying across the two, never touched.
static void no_fault_untouched(const struct call* call, void* context) {
  (void)context;
  if (call->in_child || call->size < 2) return;
  char* pages = map_anonymous(2);
  long result = invoke(call, pages + page_size - call->size / 2);
  if (result == -EFAULT) FAIL("%s across two untouched pages returned EFAULT", call->name);
  munmap(pages, 2 * page_size);
}

TEST(good_untouched, "the same calls accept a structure across two pages that were never touched") {
  badptr_prepare();
  badptr_for_each(no_fault_untouched, NULL);
}

TEST(short_read,
     "read into a buffer that runs into a hole delivers the bytes that fit or fails with EFAULT") {
  badptr_prepare();
  char* pages = map_anonymous(2);
  REQUIRE(munmap(pages + page_size, page_size) == 0);
  errno = 0;
  ssize_t n = pread(badptr_file, pages + page_size - 100, 200, 0);
  CHECK((n == -1 && errno == EFAULT) || (n > 0 && n <= 100));
}

TEST(vector_element, "a bad address inside an I/O vector is EFAULT if nothing was transferred before it") {
  badptr_prepare();
  char good[16] = "";
  long vector[4] = {8, 16, (long)good, 16};
  CHECK_ERR(syscall(SYS_readv, badptr_file, vector, 2), EFAULT);
  CHECK_ERR(syscall(SYS_writev, badptr_pipe[1], vector, 2), EFAULT);
}

TEST(wait_status, "wait4 with a bad address for the status is EFAULT") {
  pid_t child = tap_fork();
  if (child == 0) tap_exit();
  CHECK_ERR(syscall(SYS_wait4, child, 8L, 0, NULL), EFAULT);
}

TEST(argument_strings,
     "a bad address among the argument strings of execve is EFAULT and the caller lives on") {
  char* arguments[] = {(char*)"true", (char*)8, NULL};
  char* none[] = {NULL};
  CHECK_ERR(execve("/bin/true", arguments, none), EFAULT);
  arguments[1] = (char*)0xffffffffffff0000ul;
  CHECK_ERR(execve("/bin/true", none + 0, arguments), EFAULT);
}
