// A parent and a child that take turns: each waits for the other's token in a pipe.
#pragma once

#include "tap.h"

// Two pipes with which a parent and a child take turns.
struct turns {
  int to_child[2], to_parent[2];
};

TAP_UNUSED static struct turns make_turns(void) {
  struct turns turns;
  REQUIRE(pipe(turns.to_child) == 0 && pipe(turns.to_parent) == 0);
  return turns;
}

TAP_UNUSED static void pass_turn(int fd) { REQUIRE(write(fd, "t", 1) == 1); }

TAP_UNUSED static void await_turn(int fd) {
  char token;
  REQUIRE(read(fd, &token, 1) == 1);
}
