// Catches the signal that one deliberate bad access raises and tells what the kernel said of it.
#pragma once

#include <setjmp.h>

#include "tap.h"

enum access { access_read, access_write, access_execute };

struct fault {
  int signal;         // 0: the access succeeded
  int code;           // si_code
  uintptr_t address;  // si_addr
};

static __thread sigjmp_buf fault_return;
static __thread struct fault fault_seen;
static __thread volatile sig_atomic_t fault_expected;

static void fault_handler(int signal_number, siginfo_t* info, void* context) {
  (void)context;
  if (!fault_expected) {  // not ours: let the repeated access end the program with the right status
    signal(signal_number, SIG_DFL);
    return;
  }
  fault_seen.signal = signal_number;
  fault_seen.code = info->si_code;
  fault_seen.address = (uintptr_t)info->si_addr;
  siglongjmp(fault_return, 1);
}

TAP_UNUSED static void fault_catch(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = fault_handler;
  action.sa_flags = SA_SIGINFO;
  REQUIRE(sigaction(SIGSEGV, &action, NULL) == 0);
  REQUIRE(sigaction(SIGBUS, &action, NULL) == 0);
  REQUIRE(sigaction(SIGILL, &action, NULL) == 0);
  REQUIRE(sigaction(SIGTRAP, &action, NULL) == 0);
}

// Makes one access and returns the fault it raised. A write stores 'w'; execute calls the address.
// Call fault_catch first.
__attribute__((noinline)) TAP_UNUSED static struct fault fault_of(enum access access,
                                                                  const volatile void* address) {
  volatile char* at = (volatile char*)address;
  __asm__ volatile("" : "+r"(at));  // the compiler must not see that it is bad
  fault_seen.signal = fault_seen.code = 0;
  fault_seen.address = 0;
  if (sigsetjmp(fault_return, 1) == 0) {
    fault_expected = 1;
    if (access == access_read)
      (void)*at;
    else if (access == access_write)
      *at = 'w';
    else
      ((void (*)(void))(uintptr_t)at)();
  }
  fault_expected = 0;
  return fault_seen;
}

#define CHECK_FAULT(access, at, want_signal, want_code)                                                 \
  do {                                                                                                  \
    struct fault tap_fault = fault_of(access, at);                                                      \
    if (tap_fault.signal != (want_signal) || tap_fault.code != (want_code) ||                           \
        tap_fault.address != (uintptr_t)(at))                                                           \
      FAIL("%s at %s = %#lx: signal %d code %d address %#lx, expected signal %d code %d", #access, #at, \
           (unsigned long)(uintptr_t)(at), tap_fault.signal, tap_fault.code,                            \
           (unsigned long)tap_fault.address, want_signal, want_code);                                   \
  } while (0)

#define CHECK_NO_FAULT(access, at)                                                                    \
  do {                                                                                                \
    struct fault tap_fault = fault_of(access, at);                                                    \
    if (tap_fault.signal)                                                                             \
      FAIL("%s at %s: signal %d code %d address %#lx, expected none", #access, #at, tap_fault.signal, \
           tap_fault.code, (unsigned long)tap_fault.address);                                         \
  } while (0)
