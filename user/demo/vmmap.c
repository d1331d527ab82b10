// vmmap: the memory of a process, area by area: how much of it is resident, how much is shared with
// other processes, and how much would be copied when written.
#include <inttypes.h>

#include "user/bin/proc.h"
#include "user/demo/pagemap.h"

struct Pages {
  uint64_t total, resident, shared, copy_on_write;
};

struct Area {
  uintptr_t begin, end;
  char permissions[5];
  const char* name;
};

enum { kEntriesAtOnce = 512 };

static bool parse_area(char* line, struct Area* area) {
  int name_at = 0;
  line[strcspn(line, "\n")] = '\0';
  int fields = sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %n", &area->begin, &area->end,
                      area->permissions, &name_at);
  if (fields != 3 || area->end < area->begin) return false;
  area->name = name_at > 0 ? line + name_at : "";
  return true;
}

static struct Pages count_pages(const struct Pagemap* map, const struct Area* area) {
  uint64_t entries[kEntriesAtOnce];
  struct Pages pages = {.total = (area->end - area->begin) / map->page_size};
  bool private_writable = area->permissions[1] == 'w' && area->permissions[3] == 'p';
  for (uint64_t done = 0; done < pages.total; done += kEntriesAtOnce) {
    size_t count = pages.total - done < kEntriesAtOnce ? pages.total - done : kEntriesAtOnce;
    if (!read_pagemap(map, area->begin + done * map->page_size, entries, count)) break;
    for (size_t i = 0; i < count; i++) {
      if (!is_present(entries[i])) continue;
      pages.resident++;
      if (!is_mapped_more_than_once(map, entries[i])) continue;
      pages.shared++;
      if (private_writable) pages.copy_on_write++;
    }
  }
  return pages;
}

static void print_pages(const struct Pagemap* map, const struct Pages* pages) {
  uint64_t kib = map->page_size / 1024;
  printf("%10" PRIu64, pages->total * kib);
  if (map->fd < 0) {
    printf(" %9s %8s %8s", "?", "?", "?");
  } else {
    printf(" %9" PRIu64 " %8" PRIu64 " %8" PRIu64, pages->resident * kib, pages->shared * kib,
           pages->copy_on_write * kib);
  }
}

static int print_map(const char* process) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/maps", process);
  FILE* maps = fopen(path, "r");
  if (maps == NULL) err(1, "%s", path);
  struct Pagemap map = open_pagemap(process);
  if (map.fd < 0) warn("/proc/%s/pagemap", process);

  char pager[kPagerNameSize];
  if (find_pager(process, pager)) printf("pager: %s\n", pager);
  printf("%-25s %-4s %10s %9s %8s %8s  %s\n", "range", "perm", "size KiB", "resident", "shared", "COW",
         "file");
  struct Pages total = {0};
  char* line = NULL;
  size_t capacity = 0;
  int status = 0;
  while (getline(&line, &capacity, maps) > 0) {
    struct Area area;
    if (!parse_area(line, &area)) {
      warnx("%s: unknown format: %s", path, line);
      status = 1;
      continue;
    }
    struct Pages pages = count_pages(&map, &area);
    printf("%012" PRIxPTR "-%012" PRIxPTR " %-4s ", area.begin, area.end, area.permissions);
    print_pages(&map, &pages);
    printf("  %s\n", area.name);
    total.total += pages.total;
    total.resident += pages.resident;
    total.shared += pages.shared;
    total.copy_on_write += pages.copy_on_write;
  }
  printf("%-25s %-4s ", "total", "");
  print_pages(&map, &total);
  putchar('\n');
  free(line);
  fclose(maps);
  close_pagemap(&map);
  return finish_output(status);
}

int main(int argc, char** argv) {
  if (argc != 2 || argv[1][0] == '-') usage("vmmap pid|self");
  bool number = argv[1][0] != '\0' && argv[1][strspn(argv[1], "0123456789")] == '\0';
  if (!number && strcmp(argv[1], "self") != 0) errx(kUsageError, "%s: not a process number", argv[1]);
  return print_map(argv[1]);
}
