// Demand paging seen from user space: pages that appear when touched, by the program or by a system call
// on its behalf, and the signal, code and address that a bad access is answered with.
#include "common/fault.h"
#include "common/pages.h"

// A file of `pages` pages whose page i is filled with 'a' + i; mapped privately with `protection`, untouched.
static char* map_lettered_file(size_t pages, int protection) {
  char letters[page_size];
  int fd = create_file(tap_path("letters"), "", 0);
  for (size_t i = 0; i < pages; i++) {
    memset(letters, 'a' + (int)(i % 26), sizeof letters);
    REQUIRE(write(fd, letters, sizeof letters) == sizeof letters);
  }
  char* at = (char*)mmap(NULL, pages * page_size, protection, MAP_PRIVATE, fd, 0);
  REQUIRE(at != MAP_FAILED);
  close(fd);
  return at;
}

// A never-touched private file page that holds `text`.
static char* map_text(const char* text) {
  int fd = create_file(tap_path("text"), text, strlen(text) + 1);
  char* at = (char*)mmap(NULL, page_size, PROT_READ, MAP_PRIVATE, fd, 0);
  REQUIRE(at != MAP_FAILED);
  close(fd);
  return at;
}

TEST(string_to_open, "a never-touched string given to open is read from its file") {
  const char* path = tap_path("target");
  close(create_file(path, "x", 1));
  int fd = CHECK_OK(open(map_text(path), O_RDONLY));
  char byte = 0;
  CHECK_EQ(read(fd, &byte, 1), 1);
  CHECK_EQ(byte, 'x');
}

__attribute__((aligned(4096))) static const char constant_path[page_size] = "/tmp/..";

TEST(constant_to_open, "a never-touched string constant given to open is read from the program") {
  CHECK_OK(open(constant_path, O_RDONLY | O_DIRECTORY));
}

TEST(empty_to_open, "a never-touched anonymous page given to open is the empty name: ENOENT") {
  CHECK_ERR(open(map_anonymous(1), O_RDONLY), ENOENT);
}

TEST(bytes_to_write,
     "never-touched pages given to write deliver the file's bytes and zeroes of anonymous memory") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  char bytes[32];
  char* file = map_lettered_file(2, PROT_READ);
  CHECK_EQ(write(ends[1], file + page_size - 16, 32), 32);
  CHECK_EQ(read(ends[0], bytes, 32), 32);
  CHECK(bytes[0] == 'a' && bytes[15] == 'a' && bytes[16] == 'b' && bytes[31] == 'b');
  CHECK_EQ(write(ends[1], map_anonymous(1) + 100, 32), 32);
  CHECK_EQ(read(ends[0], bytes, 32), 32);
  for (int i = 0; i < 32; i++) CHECK_EQ(bytes[i], 0);
}

TEST(read_into_untouched, "read into never-touched pages stores its bytes and leaves the rest zero") {
  char* area = map_anonymous(3);
  int fd = create_file(tap_path("bytes"), "0123456789abcdef", 16);
  CHECK_EQ(pread(fd, area + page_size - 8, 16, 0), 16);
  CHECK(memcmp(area + page_size - 8, "0123456789abcdef", 16) == 0);
  CHECK_EQ(area[page_size - 9], 0);
  CHECK_EQ(area[page_size + 8], 0);
}

TEST(strings_to_execve, "path, argument array and argument strings of execve may all be never touched") {
  struct strings {
    char path[32], name[32];
    char* arguments[2];
    char* environment[1];
  } content = {"/bin/true", "true", {NULL, NULL}, {NULL}};
  int fd = create_file(tap_path("strings"), &content, sizeof content);
  struct strings* at = (struct strings*)mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  REQUIRE(at != MAP_FAILED);
  content.arguments[0] = at->name;
  REQUIRE(pwrite(fd, &content, sizeof content, 0) == sizeof content);
  pid_t child = tap_fork();
  if (child == 0) {
    execve(at->path, at->arguments, at->environment);
    FAIL("execve: %s", strerror(errno));
    tap_exit();
  }
  tap_join(child);
}

static char large_bss[64 * page_size];
static char data_before_bss[page_size] = {1};

TEST(bss_zero, ".bss is zero from its first byte to its last, beside .data on the same page") {
  data_before_bss[page_size - 1] = 2;
  for (size_t i = 0; i < sizeof large_bss; i++)
    if (large_bss[i] != 0) {
      FAIL("byte %zu is %d", i, large_bss[i]);
      break;
    }
  CHECK_EQ(data_before_bss[0], 1);
}

TEST(anonymous_zero, "anonymous memory is zero in every byte, also where another process left its own") {
  enum { pages = 256 };
  pid_t child = tap_fork();
  if (child == 0) {
    memset(map_anonymous(pages), 0x5a, pages * page_size);
    tap_exit();
  }
  tap_join(child);
  const uint64_t* words = (const uint64_t*)map_anonymous(pages);
  for (size_t i = 0; i < pages * page_size / sizeof *words; i++)
    if (words[i] != 0) {
      FAIL("word %zu is %#llx", i, (unsigned long long)words[i]);
      break;
    }
}

TEST(file_content,
     "every page of a file mapping holds its part of the file, in whatever order they are touched") {
  enum { pages = 52 };
  char* file = map_lettered_file(pages, PROT_READ | PROT_WRITE);
  for (size_t step = 0, i = 0; step < pages; step++, i = (i + 19) % pages) {
    CHECK_EQ(file[i * page_size], 'a' + i % 26);
    CHECK_EQ(file[i * page_size + page_size - 1], 'a' + i % 26);
  }
}

TEST(code_on_demand, "code in a never-touched file page runs when it is jumped to") {
  char code[16];
  emit_return(code, 42);
  int fd = create_file(tap_path("code"), code, sizeof code);
  void* at = mmap(NULL, page_size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
  REQUIRE(at != MAP_FAILED);
  CHECK_EQ(call_code(at), 42);
}

TEST(past_mapping, "an access past a mapping is SIGSEGV with SEGV_MAPERR and the address") {
  fault_catch();
  char* pages = map_anonymous(2);
  REQUIRE(munmap(pages + page_size, page_size) == 0);
  CHECK_NO_FAULT(access_read, pages + page_size - 1);
  CHECK_FAULT(access_read, pages + page_size, SIGSEGV, SEGV_MAPERR);
  CHECK_FAULT(access_read, pages + page_size + 123, SIGSEGV, SEGV_MAPERR);
  CHECK_FAULT(access_write, pages + page_size + 1, SIGSEGV, SEGV_MAPERR);
  CHECK_FAULT(access_execute, pages + page_size, SIGSEGV, SEGV_MAPERR);
}

TEST(write_read_only, "a write to read-only memory is SIGSEGV with SEGV_ACCERR and leaves it as it was") {
  fault_catch();
  char* anonymous = map_pages(1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
  CHECK_FAULT(access_write, anonymous + 9, SIGSEGV, SEGV_ACCERR);
  CHECK_EQ(anonymous[9], 0);
  CHECK_FAULT(access_write, anonymous + 9, SIGSEGV, SEGV_ACCERR);
  char* file = map_lettered_file(1, PROT_READ);
  CHECK_FAULT(access_write, file, SIGSEGV, SEGV_ACCERR);
  CHECK_EQ(file[0], 'a');
  CHECK_FAULT(access_write, constant_path, SIGSEGV, SEGV_ACCERR);
  CHECK_FAULT(access_write, (char*)(uintptr_t)fault_of, SIGSEGV, SEGV_ACCERR);
}

TEST(no_access, "any access to PROT_NONE memory is SIGSEGV with SEGV_ACCERR") {
  fault_catch();
  char* page = map_pages(1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
  CHECK_FAULT(access_read, page, SIGSEGV, SEGV_ACCERR);
  CHECK_FAULT(access_write, page + 5, SIGSEGV, SEGV_ACCERR);
  CHECK_FAULT(access_execute, page + 8, SIGSEGV, SEGV_ACCERR);
  char* touched = map_anonymous(1);
  touched[0] = 't';
  REQUIRE(mprotect(touched, page_size, PROT_NONE) == 0);
  CHECK_FAULT(access_read, touched, SIGSEGV, SEGV_ACCERR);
  REQUIRE(mprotect(touched, page_size, PROT_READ) == 0);
  CHECK_EQ(touched[0], 't');
}

TEST(jump_to_null, "a jump to address 0 is SIGSEGV with SEGV_MAPERR and address 0") {
  fault_catch();
  CHECK_FAULT(access_execute, NULL, SIGSEGV, SEGV_MAPERR);
  CHECK_FAULT(access_read, NULL, SIGSEGV, SEGV_MAPERR);
  CHECK_FAULT(access_write, NULL, SIGSEGV, SEGV_MAPERR);
}

TEST(jump_to_data, "a jump into memory that is not executable is SIGSEGV with SEGV_ACCERR, touched or not") {
  if (tap_emulated()) SKIP("this emulator runs code from any readable page");
  fault_catch();
  char* page = map_anonymous(2);
  CHECK_FAULT(access_execute, page, SIGSEGV, SEGV_ACCERR);
  emit_return(page + page_size, 1);
  CHECK_FAULT(access_execute, page + page_size, SIGSEGV, SEGV_ACCERR);
}

TEST(kernel_half, "an access to the kernel's half is SIGSEGV and the kernel is none the worse") {
  fault_catch();
#ifdef __riscv
  static const uintptr_t addresses[] = {0xffffffc000000000ul, 0xffffffc000200000ul, 0xffffffc080200000ul,
                                        0xffffffff80000000ul, 0xfffffffffffff000ul, 0x4000000000ul};
#else
  static const uintptr_t addresses[] = {0xffff800000000000ul, 0xffffffff81000000ul, 0xfffffffffffff000ul};
#endif
  for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
    for (int access = access_read; access <= access_execute; access++) {
      struct fault fault = fault_of((enum access)access, (void*)addresses[i]);
      if (fault.signal != SIGSEGV)
        FAIL("access %d at %#lx raised signal %d", access, addresses[i], fault.signal);
    }
}

TEST(non_canonical, "an access to a non-canonical address is SIGSEGV") {
  fault_catch();
  static const uintptr_t addresses[] = {0x0100000000001000ul, 0x4000000000000000ul, 0x8000000000000000ul,
                                        0x7ffffffffffffff8ul};
  for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
    for (int access = access_read; access <= access_execute; access++) {
      struct fault fault = fault_of((enum access)access, (void*)addresses[i]);
      if (fault.signal != SIGSEGV)
        FAIL("access %d at %#lx raised signal %d", access, addresses[i], fault.signal);
    }
}

TEST(past_file_end,
     "an access past the last page of a mapped file is SIGBUS with BUS_ADRERR and the address") {
  fault_catch();
  int fd = create_file(tap_path("short"), "short", 5);
  char* at = (char*)mmap(NULL, 3 * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  REQUIRE(at != MAP_FAILED);
  CHECK_EQ(at[4], 't');
  CHECK_EQ(at[5], 0);
  CHECK_EQ(at[page_size - 1], 0);
  CHECK_FAULT(access_read, at + page_size, SIGBUS, BUS_ADRERR);
  CHECK_FAULT(access_write, at + 2 * page_size + 7, SIGBUS, BUS_ADRERR);
  char byte;
  CHECK_ERR(pread(fd, at + page_size, 1, 0), EFAULT);
  CHECK_OK(pread(fd, &byte, 1, 0));
}

static char* volatile repaired_page;
static volatile int repairs;
static volatile uintptr_t repair_stack;

static void repair(int signal_number, siginfo_t* info, void* context) {
  (void)context;
  char local;
  repair_stack = (uintptr_t)&local;
  repairs++;
  if (signal_number != SIGSEGV || info->si_addr != repaired_page + 3 || repairs > 1) _exit(9);
  mprotect(repaired_page, page_size, PROT_READ | PROT_WRITE);
}

TEST(retry_after_handler,
     "a handler on its own stack that makes the page writable lets the access succeed on return") {
  stack_t alternate;
  memset(&alternate, 0, sizeof alternate);
  alternate.ss_size = 64 * 1024;
  alternate.ss_sp = map_anonymous(alternate.ss_size / page_size);
  REQUIRE(sigaltstack(&alternate, NULL) == 0);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = repair;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  REQUIRE(sigaction(SIGSEGV, &action, NULL) == 0);
  repaired_page = map_pages(1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
  *(volatile char*)(repaired_page + 3) = 'w';
  CHECK_EQ(repaired_page[3], 'w');
  CHECK_EQ(repairs, 1);
  CHECK(repair_stack - (uintptr_t)alternate.ss_sp < alternate.ss_size);
}

__attribute__((noinline)) static int use_stack(size_t depth) {
  volatile char frame[1024];
  frame[0] = (char)depth;
  frame[sizeof frame - 1] = 1;
  return depth == 0 ? frame[0] : use_stack(depth - 1) + frame[sizeof frame - 1];
}

TEST(stack_grows, "a megabyte of stack is there when used") { CHECK_EQ(use_stack(1000), 1000); }

TEST(stack_overflow, "endless recursion is SIGSEGV, caught on the alternate stack") {
  fault_catch();
  stack_t alternate;
  memset(&alternate, 0, sizeof alternate);
  alternate.ss_size = 64 * 1024;
  alternate.ss_sp = map_anonymous(alternate.ss_size / page_size);
  REQUIRE(sigaltstack(&alternate, NULL) == 0);
  struct sigaction action;
  REQUIRE(sigaction(SIGSEGV, NULL, &action) == 0);
  action.sa_flags |= SA_ONSTACK;
  REQUIRE(sigaction(SIGSEGV, &action, NULL) == 0);
  if (sigsetjmp(fault_return, 1) == 0) {
    fault_expected = 1;
    use_stack((size_t)1 << 40);
  }
  fault_expected = 0;
  CHECK_EQ(fault_seen.signal, SIGSEGV);
}

TEST(unhandled, "a bad access without a handler ends the process with SIGSEGV") {
  pid_t child = tap_fork();
  if (child == 0) {
    volatile char* hole = map_anonymous(1);
    munmap((void*)hole, page_size);
    *hole = 1;
    tap_exit();
  }
  int status = tap_wait(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

TEST(blocked, "a bad access while SIGSEGV is blocked ends the process all the same") {
  pid_t child = tap_fork();
  if (child == 0) {
    fault_catch();
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fault_of(access_read, (void*)8);
    tap_exit();
  }
  int status = tap_wait(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

// So many pages of an area are touched. A pager may make all present in mmap, or with a touched page its
// neighbours.
static void check_present(char* area, size_t pages, size_t touched) {
  size_t present = pages_present(area, pages);
  if (tap_loads_in_mmap())
    CHECK_EQ(present, pages);
  else if (tap_may_load_neighbours() && touched > 0)
    CHECK(present >= touched);
  else
    CHECK_EQ(present, touched);
}

TEST(residency_anonymous,
     "of anonymous memory the touched pages are present, others only if the pager promises less") {
  require_pagemap(false);
  enum { pages = 64 };
  char* area = map_anonymous(pages);
  check_present(area, pages, 0);
  for (int i = 0; i < 7; i++) area[i * 9 * page_size] = 1;
  check_present(area, pages, 7);
  CHECK(page_present(area + 9 * page_size));
}

TEST(residency_syscall, "a system call makes present just the pages that it copies from or to") {
  require_pagemap(false);
  enum { pages = 64 };
  char* area = map_anonymous(pages);
  int fd = create_file(tap_path("pages"), large_bss, 3 * page_size);
  CHECK_EQ(pread(fd, area + 8 * page_size, 3 * page_size, 0), 3 * page_size);
  check_present(area, pages, 3);
}

TEST(residency_file, "of a mapped file the untouched rest is not all made present by one access") {
  require_pagemap(false);
  enum { pages = 256 };
  const volatile char* file = map_lettered_file(pages, PROT_READ);
  CHECK_EQ(pages_present((char*)file, pages), tap_loads_in_mmap() ? pages : 0);
  CHECK_EQ(file[0], 'a');
  CHECK(page_present(file));
  if (!tap_loads_in_mmap()) CHECK(pages_present((char*)file, pages) < pages);
}

TEST(sparse_touch, "a large reservation costs only the pages that are touched") {
  size_t size = tap_loads_in_mmap() ? (size_t)1 << 20 : (size_t)8 << 30, step = size / 64;
  char* area = map_anonymous(size / page_size);
  for (size_t at = 0; at < size; at += step) area[at] = (char)(at / step + 1);
  for (size_t at = 0; at < size; at += step) CHECK_EQ(area[at], (char)(at / step + 1));
  CHECK_EQ(munmap(area, size), 0);
}
