// What a handler must not disturb, and what a hostile signal frame must not achieve.
#include <sched.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>

#include "common/fault.h"
#include "common/pages.h"
#include "common/rounding.h"

static volatile sig_atomic_t interruptions;
static volatile double disturbance;

static void disturb(int signal_number) {
  (void)signal_number;
  interruptions++;
  set_rounding(interruptions % 2 ? round_up : round_down);
  double values[24];
  for (int i = 0; i < 24; i++) values[i] = (interruptions + i) * 1e100;
  for (int round = 0; round < 3; round++)
    for (int i = 0; i < 24; i++) values[i] = values[i] / 3.0 + values[(i + 7) % 24];
  disturbance = values[0];
}

// A chaotic recurrence over many live registers: one lost bit anywhere changes the result.
__attribute__((noinline)) static double recurrence(int steps) {
  double x[8];
  uint64_t y = 1;
  for (int i = 0; i < 8; i++) x[i] = 0.3 + 0.05 * i;
  for (int step = 0; step < steps; step++)
    for (int i = 0; i < 8; i++) {
      x[i] = 3.99 * x[i] * (1.0 - x[i]);
      y = y * 6364136223846793005u + 1442695040888963407u;
      x[i] += (double)(y >> 60) * 1e-12;
    }
  double sum = (double)(y >> 40);
  for (int i = 0; i < 8; i++) sum += x[i];
  return sum;
}

TEST(
    registers,
    "integer and floating-point registers and the rounding mode are as before after any number of handlers") {
  enum { steps = 20000, wanted = 200 };
  double quiet = recurrence(steps);
  struct itimerval timer = {{0, 700}, {0, 700}};
  signal(SIGALRM, disturb);
  CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
  while (interruptions < wanted && !tap_failures) {
    double now = recurrence(steps);
    if (now != quiet) FAIL("%a, expected %a after %d interruptions", now, quiet, (int)interruptions);
    CHECK_EQ(get_rounding(), round_to_nearest);
  }
}

static volatile sig_atomic_t mutations;

// Overwrites a few words of the interrupted context with what an attacker would try.
static void damage_context(int signal_number, siginfo_t* info, void* context) {
  (void)signal_number, (void)info;
  static const uint64_t hostile[] = {0,
                                     1,
                                     8,
                                     0xffffffc000200000u,
                                     0xffffffff80000000u,
                                     0x4000000000000000u,
                                     UINT64_MAX,
                                     0x8000000000000000u,
                                     0x2222222222222222u};
  unsigned char* bytes = (unsigned char*)&((ucontext_t*)context)->uc_mcontext;
  for (int i = 0; i < mutations; i++) {
    uint64_t value = tap_below(3) ? hostile[tap_below(sizeof hostile / sizeof *hostile)] : tap_random();
    memcpy(bytes + tap_below(sizeof(mcontext_t) / 8) * 8, &value, 8);
  }
}

// Waits for the child to end by itself, for a while; then ends it, which must work.
static void expect_ends(pid_t child, const char* what, uint64_t seed) {
  uint64_t limit = tap_nanoseconds() + UINT64_C(300000000);
  int status;
  pid_t ended;
  while ((ended = waitpid(child, &status, WNOHANG)) == 0 && tap_nanoseconds() < limit) sched_yield();
  if (ended == child) return;
  CHECK_EQ(kill(child, SIGKILL), 0);
  status = tap_wait(child);
  if (!WIFSIGNALED(status))
    FAIL("%s: status %#x; replay with --seed=%llu", what, status, (unsigned long long)seed);
}

TEST(hostile_return, "a handler that returns through a damaged frame harms its own process at most") {
  enum { tries = 150 };
  for (int i = 0; i < tries && !tap_failures; i++) {
    uint64_t seed = tap_seed;
    mutations = 1 + (int)tap_below(6);
    pid_t child = tap_fork();
    if (child == 0) {
      struct sigaction action;
      memset(&action, 0, sizeof action);
      action.sa_sigaction = damage_context;
      action.sa_flags = SA_SIGINFO;
      sigaction(SIGUSR1, &action, NULL);
      close(STDOUT_FILENO);
      raise(SIGUSR1);
      _exit(0);
    }
    tap_random();  // the child's draws must not be the next child's
    expect_ends(child, "damaged frame", seed);
  }
}

#ifdef __riscv
static void return_into_kernel(int signal_number, siginfo_t* info, void* context) {
  (void)signal_number, (void)info;
  ((ucontext_t*)context)->uc_mcontext.__gregs[0] = 0xffffffc000200000u;
}
#endif

TEST(return_into_kernel, "a frame whose program counter is in the kernel's half gives SIGSEGV in user mode") {
#ifdef __riscv
  pid_t child = tap_fork();
  if (child == 0) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = return_into_kernel;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    _exit(0);
  }
  int status = tap_wait(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
#else
  SKIP("the frame's layout is RISC-V's");
#endif
}

// Calls rt_sigreturn with the stack pointer at `stack`, where there is no frame that the kernel made.
__attribute__((noreturn, noinline)) static void forge_return(uintptr_t stack) {
#if defined __riscv
  register long number __asm__("a7") = SYS_rt_sigreturn;
  __asm__ volatile("mv sp, %0\n ecall\n 1: j 1b" : : "r"(stack), "r"(number) : "memory");
#else
  __asm__ volatile("mov %0, %%rsp\n syscall\n 1: jmp 1b"
                   :
                   : "r"(stack), "a"((long)SYS_rt_sigreturn)
                   : "memory");
#endif
  __builtin_unreachable();
}

TEST(forged_return,
     "rt_sigreturn without a frame, on no stack at all or on noise, ends the process by a signal") {
  char* noise = map_anonymous(4);
  for (int i = 0; i < 4 * page_size; i++) noise[i] = (char)tap_random();
  char* zeroes = map_anonymous(4);
  const uintptr_t stacks[] = {0,
                              16,
                              0xffffffc000200000u,
                              0x4000000000000000u,
                              UINT64_MAX - 15,
                              (uintptr_t)noise,
                              (uintptr_t)noise + 8,
                              (uintptr_t)zeroes,
                              (uintptr_t)zeroes + 4 * page_size - 64};
  for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++) {
    pid_t child = tap_fork();
    if (child == 0) forge_return(stacks[i]);
    expect_ends(child, "forged frame", tap_seed);
  }
}

static sigjmp_buf escape;
static void jump_out(int signal_number) { siglongjmp(escape, signal_number); }

TEST(long_jump, "leaving a handler by siglongjmp 1,000 times restores the mask every time") {
  signal(SIGUSR1, jump_out);
  volatile int jumps = 0;
  sigset_t now;
  if (sigsetjmp(escape, 1) != 0) jumps++;
  sigprocmask(SIG_BLOCK, NULL, &now);
  CHECK_EQ(sigismember(&now, SIGUSR1), 0);
  if (jumps < 1000 && !tap_failures) raise(SIGUSR1);
  CHECK_EQ(jumps, 1000);
}

static volatile uintptr_t aligned_frames, frames;

static void look_at_alignment(int signal_number) {
  (void)signal_number;
  frames++;
  aligned_frames += (uintptr_t)__builtin_frame_address(0) % 16 == 0;
}

TEST(alignment, "a handler's stack is aligned to 16 bytes wherever the program was interrupted") {
  struct itimerval timer = {{0, 500}, {0, 500}};
  signal(SIGALRM, look_at_alignment);
  CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
  while (frames < 100) recurrence(100);
  CHECK_EQ(aligned_frames, frames);
}
