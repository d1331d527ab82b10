// The rounding mode, in the floating-point control register that every thread has its own of. <fenv.h> would
// do, but is in a library that nothing else here needs.
#pragma once

#include "tap.h"

enum rounding { round_to_nearest, round_up, round_down };

TAP_UNUSED static void set_rounding(enum rounding mode) {
#if defined __riscv
  static const unsigned long modes[] = {0, 3, 2};
  __asm__ volatile("fsrm %0" : : "r"(modes[mode]));
#else
  static const unsigned modes[] = {0, 2, 1};
  unsigned control;
  __asm__ volatile("stmxcsr %0" : "=m"(control));
  control = (control & ~(3u << 13)) | modes[mode] << 13;
  __asm__ volatile("ldmxcsr %0" : : "m"(control));
#endif
}

TAP_UNUSED static enum rounding get_rounding(void) {
#if defined __riscv
  unsigned long mode;
  __asm__ volatile("frrm %0" : "=r"(mode));
  return mode == 0 ? round_to_nearest : mode == 3 ? round_up : round_down;
#else
  unsigned control;
  __asm__ volatile("stmxcsr %0" : "=m"(control));
  unsigned mode = control >> 13 & 3;
  return mode == 0 ? round_to_nearest : mode == 2 ? round_up : round_down;
#endif
}
