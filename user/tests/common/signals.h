// Signals of the process itself: sets of one, what is blocked and what waits, and how many came.
#pragma once

#include "tap.h"

static volatile sig_atomic_t signals_seen TAP_UNUSED;
// A handler that counts.
TAP_UNUSED static void note_signal(int number) {
  (void)number;
  signals_seen++;
}

TAP_UNUSED static sigset_t set_of(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  return set;
}

// Blocks a signal; returns the set of it alone.
TAP_UNUSED static sigset_t block(int number) {
  sigset_t set = set_of(number);
  REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
  return set;
}

TAP_UNUSED static bool is_pending(int number) {
  sigset_t pending;
  REQUIRE(sigpending(&pending) == 0);
  return sigismember(&pending, number);
}
