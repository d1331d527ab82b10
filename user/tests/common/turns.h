// A parent and a child that wait for each other: for a token in a pipe, for its end, or until the other
// sleeps.
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

// Returns when the process sleeps in the kernel.
TAP_UNUSED static void wait_until_asleep(pid_t process) {
  char path[64], text[256];
  snprintf(path, sizeof path, "/proc/%d/stat", process);
  for (;;) {
    int fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    REQUIRE(n > 0);
    text[n] = '\0';
    const char* end = strrchr(text, ')');
    REQUIRE(end && end[2] != 'Z');
    if (end[2] == 'S') return;
  }
}

// Forks a child that does nothing until the parent closes `*release`: then it comes back with 0.
TAP_UNUSED static pid_t fork_held(int* release) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    char byte;
    close(ends[1]);
    REQUIRE(read(ends[0], &byte, 1) == 0);
    return 0;
  }
  close(ends[0]);
  *release = ends[1];
  return child;
}

// A child that executes a program and is waited for.
TAP_UNUSED static void fork_exec_and_wait(void) {
  pid_t child = tap_fork();
  if (child == 0) {
    execl("/bin/true", "true", (char*)NULL);
    _exit(tap_status_failed);
  }
  tap_join(child);
}
