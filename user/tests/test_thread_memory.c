// Threads that fault, map and unmap in one space at once.
#include "common/pages.h"
#include "common/threads.h"
#include "common/turns.h"

enum { region_pages = 512 };
static long* region;
static pthread_barrier_t barrier;

// Thread t writes word t of every page, in an order of its own: every page's first fault is a race.
static void* touch_all(void* argument) {
  size_t mine = (size_t)(intptr_t)argument;
  pthread_barrier_wait(&barrier);
  for (size_t i = 0; i < region_pages; i++) {
    size_t page = (i * (2 * mine + 1) + mine) % region_pages;
    region[page * (page_size / sizeof *region) + mine] += (long)(page * 100 + mine + 1);
  }
  return NULL;
}

static void check_region(long inherited) {
  for (size_t page = 0; page < region_pages; page++)
    for (size_t t = 0; t < crowd; t++) {
      long value = region[page * (page_size / sizeof *region) + t];
      if (value != inherited + (long)(page * 100 + t + 1)) {
        FAIL("page %zu word %zu is %ld: a write was lost", page, t, value);
        return;
      }
    }
}

TEST(faults_same, "eight threads that first touch the same pages at once lose no write") {
  pthread_barrier_init(&barrier, NULL, crowd);
  for (int round = 0; round < 5; round++) {
    region = (long*)map_anonymous(region_pages);
    run_crowd(touch_all, crowd);
    check_region(0);
    munmap(region, region_pages * page_size);
  }
}

TEST(faults_copied,
     "eight threads that first write the same shared pages at once lose no write and tell no other process") {
  pthread_barrier_init(&barrier, NULL, crowd);
  region = (long*)map_anonymous(region_pages);
  for (size_t i = 0; i < region_pages * page_size / sizeof *region; i++) region[i] = 1000000;
  int release;
  pid_t child = fork_held(&release);
  if (child == 0) {
    for (size_t i = 0; i < region_pages * page_size / sizeof *region; i++)
      if (region[i] != 1000000) {
        FAIL("word %zu changed", i);
        break;
      }
    tap_exit();
  }
  run_crowd(touch_all, crowd);
  check_region(1000000);
  close(release);
  tap_join(child);
}

static void* map_and_check(void* argument) {
  long mine = (long)(intptr_t)argument;
  for (long i = 0; i < 100; i++) {
    size_t pages = 1 + (size_t)(i * 7 + mine) % 9;
    long* area = (long*)map_anonymous(pages);
    for (size_t p = 0; p < pages; p++) {
      CHECK_EQ(area[p * 512], 0);
      area[p * 512] = mine * 1000 + i;
    }
    if (i % 3 == 0) CHECK_EQ(mprotect(area, page_size, PROT_READ), 0);
    for (size_t p = 0; p < pages; p++) CHECK_EQ(area[p * 512], mine * 1000 + i);
    CHECK_EQ(munmap(area, pages * page_size), 0);
  }
  return NULL;
}

TEST(mapping_at_once,
     "eight threads mapping, protecting and unmapping at once never get each other's memory") {
  run_crowd(map_and_check, crowd);
}
