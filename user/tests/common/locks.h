// What the tests of locks begin with: a file, and a handler that interrupts who waits.
#pragma once

#include "signals.h"

TAP_UNUSED static int open_file(void) {
  int fd = open(tap_path("file"), O_RDWR | O_CREAT, 0644);
  REQUIRE(fd >= 0);
  return fd;
}
