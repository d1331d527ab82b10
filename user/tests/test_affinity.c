// Which hart runs which thread, and what reaches it there.
#include <sched.h>

#include "common/pages.h"

enum { spinners = 2 };

static void pin_to(int hart) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(hart, &only);
  REQUIRE(sched_setaffinity(0, sizeof only, &only) == 0);
}

static void require_two_harts(void) {
  cpu_set_t harts;
  REQUIRE(sched_getaffinity(0, sizeof harts, &harts) == 0);
  if (!CPU_ISSET(0, &harts) || !CPU_ISSET(1, &harts)) SKIP("needs harts 0 and 1");
}

static void spin_for_processor_time(double seconds) {
  while (clock() < seconds * CLOCKS_PER_SEC) continue;
}

// What hart 1 has idled and what it has not, since the machine started, in hundredths of a second.
static void read_hart_times(long* busy, long* idle) {
  FILE* file = fopen("/proc/stat", "r");
  REQUIRE(file != NULL);
  char line[256];
  *busy = -1;
  while (fgets(line, sizeof line, file)) {
    if (sscanf(line, "cpu1 %*d %*d %ld %ld", busy, idle) == 2) break;
  }
  fclose(file);
  REQUIRE(*busy >= 0);
}

TEST(idles, "a hart that may run none of the threads that wait sleeps") {
  if (!tap_on_faultline()) SKIP("other programs of this machine may use the hart");
  require_two_harts();
  pin_to(1);
  long busy_before, idle_before, busy, idle;
  read_hart_times(&busy_before, &idle_before);
  pid_t children[spinners];
  for (int i = 0; i < spinners; i++) {
    children[i] = tap_fork();
    if (children[i] == 0) {
      pin_to(0);
      spin_for_processor_time(1);
      _exit(tap_status_passed);
    }
  }
  for (int i = 0; i < spinners; i++) CHECK_EQ(tap_wait(children[i]), 0);
  read_hart_times(&busy, &idle);
  // A hart that looks for work all the time, too short to sleep, counts as busy from the first look to the
  // last.
  if (idle - idle_before < busy - busy_before)
    FAIL("hart 1 was busy for %ld, idle for %ld", busy - busy_before, idle - idle_before);
}

TEST(stays, "a thread runs where its mask says, from the call on") {
  cpu_set_t harts;
  REQUIRE(sched_getaffinity(0, sizeof harts, &harts) == 0);
  for (int hart = 0; hart < CPU_SETSIZE; hart++) {
    if (!CPU_ISSET(hart, &harts)) continue;
    pin_to(hart);
    for (int i = 0; i < 100; i++) {
      CHECK_EQ(sched_getcpu(), hart);
      sched_yield();
    }
  }
}

// A child that ends once it runs on `last`. Returns when it has run on `hart` for so long that no time slice
// from before ends any more.
static pid_t spawn_on(int hart, int last) {
  volatile int* started = (volatile int*)map_shared(1);
  pid_t child = tap_fork();
  if (child == 0) {
    pin_to(hart);
    spin_for_processor_time(0.02);
    *started = 1;
    while (sched_getcpu() != last) continue;
    tap_exit();
  }
  while (!*started) sched_yield();
  return child;
}

static void move_to_hart_1(pid_t child) {
  cpu_set_t there;
  CPU_ZERO(&there);
  CPU_SET(1, &there);
  CHECK_OK(sched_setaffinity(child, sizeof there, &there));
}

static void end_child(pid_t child) {
  CHECK_OK(kill(child, SIGKILL));
  CHECK_EQ(tap_wait(child), SIGKILL);
}

// Hart 1 has a thread that runs for ever; the children come to it from hart 0, one after the other.
static void move_children(int number) {
  pin_to(1);
  pid_t there = spawn_on(1, -1);
  for (int i = 0; i < number; i++) {
    pid_t child = spawn_on(0, 1);
    move_to_hart_1(child);
    tap_join(child);
  }
  end_child(there);
}

TEST(moved, "a new mask takes a thread away from a hart that it has to itself") {
  require_two_harts();
  // The kernel's own threads interrupt it every few seconds: were that what moves it, it would take too long.
  move_children(40);
}

TEST(moved_waiting, "a new mask takes a thread away that waits for its turn") {
  require_two_harts();
  pid_t here = spawn_on(0, -1);
  move_children(20);  // about every other one waits when its mask changes
  end_child(here);
}

static volatile int* received;

static void count_signal(int number) {
  (void)number;
  ++*received;
}

TEST(reached, "a signal reaches a program that computes on another hart, where nothing else interrupts it") {
  require_two_harts();
  received = (volatile int*)map_shared(1);
  *received = -1;
  pid_t child = tap_fork();
  if (child == 0) {
    pin_to(1);
    signal(SIGUSR1, count_signal);
    for (*received = 0;;) continue;
  }
  pin_to(0);
  while (*received < 0) continue;
  // A hart with one thread to run has a timer interrupt every few seconds. Signals that came with those would
  // take longer than the case may.
  for (int sent = 1; sent <= 50; sent++) {
    CHECK_OK(kill(child, SIGUSR1));
    while (*received < sent) continue;
  }
  end_child(child);
}
