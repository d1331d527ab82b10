// /proc/PID/pagemap: one 64-bit entry for each virtual page.
#pragma once

#include <fcntl.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "user/bin/common.h"

// The bits of an entry, as Linux's Documentation/admin-guide/mm/pagemap.rst has them.
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_EXCLUSIVE (1ULL << 56)    // mapped once only
#define PAGEMAP_FRAME ((1ULL << 55) - 1)  // zero for those who may not know

// A page table as seen through its file; fd is -1 if there is none to be read.
struct Pagemap {
  int fd;
  int counts_fd;  // /proc/kpagecount: how often each frame is mapped; -1 if it cannot be read
  size_t page_size;
};

static inline struct Pagemap open_pagemap(const char* process) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/pagemap", process);
  struct Pagemap map;
  map.fd = open(path, O_RDONLY | O_CLOEXEC);
  map.counts_fd = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC);
  map.page_size = (size_t)sysconf(_SC_PAGESIZE);
  return map;
}

static inline void close_pagemap(struct Pagemap* map) {
  if (map->fd >= 0) close(map->fd);
  if (map->counts_fd >= 0) close(map->counts_fd);
}

// Reads the entries of the pages from `address` on; those that cannot be read become 0. False if none can.
static inline bool read_pagemap(const struct Pagemap* map, uintptr_t address, uint64_t* entries,
                                size_t count) {
  memset(entries, 0, count * sizeof *entries);
  if (map->fd < 0) return false;
  off_t offset = (off_t)(address / map->page_size * sizeof *entries);
  return pread(map->fd, entries, count * sizeof *entries, offset) > 0;
}

static inline bool is_present(uint64_t entry) { return (entry & PAGEMAP_PRESENT) != 0; }

// How many faults of this process were resolved without reading from a disk.
static inline long minor_faults(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

// True if the page's frame is mapped by somebody else too.
static inline bool is_mapped_more_than_once(const struct Pagemap* map, uint64_t entry) {
  uint64_t frame = entry & PAGEMAP_FRAME;
  uint64_t count;
  // Where processes share page tables a frame may have one owner and yet several who map it: the entry knows.
  if ((entry & PAGEMAP_EXCLUSIVE) == 0) return true;
  bool known = map->counts_fd >= 0 && frame != 0 &&
               pread(map->counts_fd, &count, sizeof count, (off_t)(frame * sizeof count)) == sizeof count;
  return known && count > 1;
}
