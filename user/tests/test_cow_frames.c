// Which frames copy-on-write shares, copies and keeps, as /proc/self/pagemap tells.
#include "common/pages.h"
#include "common/turns.h"

// Forks a child that reports the frame it has under `page` after reading (or writing) it, and waits for it.
static uint64_t frame_in_child(char* page, bool write_first) {
  struct turns turns = make_turns();
  pid_t child = tap_fork();
  if (child == 0) {
    if (write_first) page[1] = 'c';
    char value = *(volatile char*)page;
    (void)value;
    uint64_t frame = page_frame(page);
    REQUIRE(write(turns.to_parent[1], &frame, sizeof frame) == sizeof frame);
    await_turn(turns.to_child[0]);
    tap_exit();
  }
  uint64_t frame = 0;
  REQUIRE(read(turns.to_parent[0], &frame, sizeof frame) == sizeof frame);
  pass_turn(turns.to_child[1]);
  tap_join(child);
  return frame;
}

TEST(fork_shares, "fork shares the frames, unless the pager copies them there") {
  require_pagemap(true);
  char* page = map_anonymous(1);
  page[0] = 'p';
  uint64_t frame = page_frame(page);
  CHECK(frame != 0);
  CHECK_EQ(frame_in_child(page, false) == frame, !tap_copies_in_fork());
  CHECK(frame_in_child(page, true) != frame);
  CHECK_EQ(page[0], 'p');
  CHECK_EQ(page[1], 0);
}

// Linux copies once in a while although nobody shares the page any more: only Faultline must never do so.
static int tries(void) { return tap_on_faultline() ? 1 : 20; }

// Whether a page that a child shared and that only its owner has left is written in the frame where it is.
static bool sole_owner_keeps_frame(void) {
  char* page = map_anonymous(1);
  page[0] = 'p';
  uint64_t frame = page_frame(page);
  pid_t child = tap_fork();
  if (child == 0) tap_exit();
  tap_join(child);
  page[0] = 'q';
  return page_frame(page) == frame;
}

TEST(sole_owner, "the sole owner left after the child's exit writes in place, in the same frame") {
  require_pagemap(true);
  bool kept = false;
  for (int i = tries(); i > 0 && !kept; i--) kept = sole_owner_keeps_frame();
  CHECK(kept);
}

// As above with the child alive, once it has written and so has a copy of its own.
static bool owner_keeps_frame(void) {
  char* page = map_anonymous(1);
  page[0] = 'p';
  uint64_t frame = page_frame(page);
  struct turns turns = make_turns();
  pid_t child = tap_fork();
  if (child == 0) {
    page[0] = 'c';
    pass_turn(turns.to_parent[1]);
    await_turn(turns.to_child[0]);
    CHECK_EQ(page[0], 'c');
    tap_exit();
  }
  await_turn(turns.to_parent[0]);
  page[0] = 'q';
  bool kept = page_frame(page) == frame;
  pass_turn(turns.to_child[1]);
  tap_join(child);
  return kept;
}

TEST(owner_after_copy, "the parent keeps its frame when the child, still alive, has taken a copy") {
  require_pagemap(true);
  bool kept = false;
  for (int i = tries(); i > 0 && !kept; i--) kept = owner_keeps_frame();
  CHECK(kept);
}

TEST(write_syscall, "write(2) from a shared page does not end the sharing") {
  require_pagemap(true);
  char* page = map_anonymous(1);
  page[0] = 'p';
  uint64_t frame = page_frame(page);
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  struct turns turns = make_turns();
  pid_t child = tap_fork();
  if (child == 0) {
    await_turn(turns.to_child[0]);
    tap_exit();
  }
  CHECK_EQ(write(ends[1], page, 100), 100);
  CHECK_EQ(page_frame(page), frame);
  pass_turn(turns.to_child[1]);
  tap_join(child);
}
