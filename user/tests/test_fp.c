// Floating-point state: a thread's registers are its own wherever and whenever it runs, and a program begins
// with zeroes.
#include <sched.h>
#include <sys/syscall.h>

#include "common/elf_image.h"
#include "common/threads.h"

#ifdef __riscv

enum { fp_registers = 32, fp_all_flags_up = 0x7f };

struct fp_state {
  uint64_t f[fp_registers];
  uint64_t fcsr;
};

// clang-format off: it finds no layout for a macro of calls that it leaves alone the next time.
#define REGISTER(op, n, at) op " f" #n ", 8 * " #n "(" at ")\n"
#define FOUR_REGISTERS(op, a, b, c, d, at) REGISTER(op, a, at) REGISTER(op, b, at) REGISTER(op, c, at) REGISTER(op, d, at)
#define EACH_REGISTER(op, at)                                                           \
  FOUR_REGISTERS(op, 0, 1, 2, 3, at) FOUR_REGISTERS(op, 4, 5, 6, 7, at)                 \
  FOUR_REGISTERS(op, 8, 9, 10, 11, at) FOUR_REGISTERS(op, 12, 13, 14, 15, at)           \
  FOUR_REGISTERS(op, 16, 17, 18, 19, at) FOUR_REGISTERS(op, 20, 21, 22, 23, at)         \
  FOUR_REGISTERS(op, 24, 25, 26, 27, at) FOUR_REGISTERS(op, 28, 29, 30, 31, at)
// clang-format on
#define ALL_REGISTERS                                                                                   \
  "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "f13", "f14", "f15", \
      "f16", "f17", "f18", "f19", "f20", "f21", "f22", "f23", "f24", "f25", "f26", "f27", "f28", "f29", \
      "f30", "f31"

// All registers get what is in `in`, the system call is made, and `out` gets what they hold then; one piece,
// so that no code of the compiler's comes in between.
static long call_with_registers(const struct fp_state* in, struct fp_state* out, long number, long first,
                                long second, const void* third) {
  register long a0 __asm__("a0") = first;
  register long a1 __asm__("a1") = second;
  register const void* a2 __asm__("a2") = third;
  register long a7 __asm__("a7") = number;
  __asm__ volatile(EACH_REGISTER("fld", "%1") "ld t0, 256(%1)\n fscsr t0\n ecall\n" EACH_REGISTER(
                       "fsd", "%2") "frcsr t0\n sd t0, 256(%2)\n fscsr zero\n"
                   : "+r"(a0)
                   : "r"(in), "r"(out), "r"(a1), "r"(a2), "r"(a7)
                   : "t0", "memory", ALL_REGISTERS);
  return a0;
}

static struct fp_state pattern(uint64_t seed) {
  struct fp_state state;
  for (int i = 0; i < fp_registers; i++) state.f[i] = seed * 0x9e3779b97f4a7c15u + (uint64_t)i;
  state.fcsr = seed % (fp_all_flags_up + 1) & ~0x60u;  // a rounding mode that exists
  return state;
}

static void check_same(const struct fp_state* expected, const struct fp_state* found) {
  for (int i = 0; i < fp_registers; i++) CHECK_EQ(found->f[i], expected->f[i]);
  CHECK_EQ(found->fcsr, expected->fcsr);
}

// The harts that this thread may run on, one after the other.
static int next_hart(int hart) {
  cpu_set_t online;
  CPU_ZERO(&online);  // the call fills in no more than the kernel has
  REQUIRE(syscall(SYS_sched_getaffinity, getpid(), sizeof online, &online) > 0);
  do hart = (hart + 1) % CPU_SETSIZE;
  while (!CPU_ISSET(hart, &online));
  return hart;
}

// Loads registers of its own, moves, and finds them there.
static void check_move(int hart, uint64_t seed) {
  cpu_set_t there;
  CPU_ZERO(&there);
  CPU_SET(hart, &there);
  const struct fp_state before = pattern(seed);
  struct fp_state after;
  CHECK_EQ(call_with_registers(&before, &after, SYS_sched_setaffinity, 0, sizeof there, &there), 0);
  check_same(&before, &after);
}

enum { wanderers = 6, moves = 200 };

static void* wander(void* argument) {
  const uint64_t self = (uint64_t)(intptr_t)argument;
  int hart = next_hart((int)self);
  for (uint64_t move = 1; move <= moves; move++) {
    check_move(hart, self * moves + move);
    hart = next_hart(hart);
  }
  return NULL;
}

TEST(over_harts, "registers and fcsr go with a thread from hart to hart, among others that use theirs") {
  run_crowd(wander, wanderers);
}

// A hart may keep the registers of whom it ran last.
TEST(there_and_back, "registers that changed on another hart are not those left behind on the first") {
  const int first = next_hart(-1), second = next_hart(first);
  for (uint64_t move = 1; move <= moves; move++) check_move(move % 2 ? first : second, move);
}

// The program's exit status: 0 if all registers and fcsr are zero.
static const uint32_t sum_of_registers[] = {
    0x00302573,                                            // frcsr a0
#define OR_REGISTER(n) 0xe20005d3 | (n) << 15, 0x00b56533  // fmv.x.d a1, fN; or a0, a0, a1
    OR_REGISTER(0),  OR_REGISTER(1),  OR_REGISTER(2),  OR_REGISTER(3),  OR_REGISTER(4),  OR_REGISTER(5),
    OR_REGISTER(6),  OR_REGISTER(7),  OR_REGISTER(8),  OR_REGISTER(9),  OR_REGISTER(10), OR_REGISTER(11),
    OR_REGISTER(12), OR_REGISTER(13), OR_REGISTER(14), OR_REGISTER(15), OR_REGISTER(16), OR_REGISTER(17),
    OR_REGISTER(18), OR_REGISTER(19), OR_REGISTER(20), OR_REGISTER(21), OR_REGISTER(22), OR_REGISTER(23),
    OR_REGISTER(24), OR_REGISTER(25), OR_REGISTER(26), OR_REGISTER(27), OR_REGISTER(28), OR_REGISTER(29),
    OR_REGISTER(30), OR_REGISTER(31),
    0x00a03533,  // sltu a0, x0, a0
    0x05d00893,  // addi a7, x0, 93 (exit)
    0x00000073,  // ecall
};

TEST(exec, "a program begins with all floating-point registers and fcsr zero, whatever the one before left") {
  if (tap_emulated()) SKIP("the emulator lets the host execute files");
  struct {
    struct elf_image image;
    unsigned char more[sizeof sum_of_registers];
  } program = {.image = elf_valid_image()};
  memcpy((unsigned char*)&program + elf_code_offset, sum_of_registers, sizeof sum_of_registers);
  program.image.segments[0].p_filesz = program.image.segments[0].p_memsz = sizeof program;
  const char* path = elf_store("zeroes", &program, sizeof program);
  char* arguments[] = {(char*)path, NULL};
  for (uint64_t round = 1; round < 20; round++) {
    pid_t child = tap_fork();
    if (child == 0) {
      const struct fp_state before = pattern(round);
      struct fp_state after;
      char* const none[] = {NULL};
      call_with_registers(&before, &after, SYS_execve, (long)path, (long)arguments, none);
      _exit(tap_status_usage);
    }
    const int status = tap_wait(child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
  }
}

TEST(exec_that_fails, "an execve that fails leaves the registers as they were") {
  const struct fp_state before = pattern(3);
  struct fp_state after;
  char* const none[] = {NULL};
  CHECK(call_with_registers(&before, &after, SYS_execve, (long)"/no/such/program", (long)none, none) < 0);
  check_same(&before, &after);
}

#else

TEST(riscv_only, "the registers are RISC-V's") { SKIP("another architecture"); }

#endif
