// cowdemo: copy on write to look at. A parent fills some pages and forks; the child then writes one page
// after the other. After each step both sides' pages are compared: `=` is one frame that both map, `P` and
// `C` are frames of the parent's and of the child's own.
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "user/demo/pagemap.h"

enum { kMostPages = 64 };

// What a process sends the other about its pages.
struct View {
  uint64_t entries[kMostPages];
  long faults;
  bool known;  // there is a pagemap to be read
};

static size_t page_count = 16;
static size_t page_size;
static volatile char* pages;

static void take_view(struct View* view) {
  struct Pagemap map = open_pagemap("self");
  view->known =
      read_pagemap(&map, (uintptr_t)pages, view->entries, page_count) && is_present(view->entries[0]);
  close_pagemap(&map);
}

// One frame for both if the frame numbers say so, or, where those are secret, if it is not exclusive.
static bool is_same_frame(uint64_t a, uint64_t b) {
  if (((a | b) & PAGEMAP_FRAME) != 0) return (a & PAGEMAP_FRAME) == (b & PAGEMAP_FRAME);
  return (a & PAGEMAP_EXCLUSIVE) == 0 && (b & PAGEMAP_EXCLUSIVE) == 0;
}

static void print_row(const char* step, const struct View* parent, const struct View* child) {
  char picture[2][kMostPages + 1];
  size_t shared = 0;
  size_t resident = 0;
  for (size_t i = 0; i < page_count; i++) {
    bool both = is_present(parent->entries[i]) && is_present(child->entries[i]) &&
                is_same_frame(parent->entries[i], child->entries[i]);
    picture[0][i] = both ? '=' : is_present(parent->entries[i]) ? 'P' : '.';
    picture[1][i] = both ? '=' : is_present(child->entries[i]) ? 'C' : '.';
    shared += both;
    resident += is_present(child->entries[i]);
  }
  picture[0][page_count] = picture[1][page_count] = '\0';
  if (!parent->known || !child->known) {
    printf("%-22s %-*s %-*s %8s %6s %6ld\n", step, (int)page_count, "?", (int)page_count, "?", "?", "?",
           child->faults);
  } else {
    printf("%-22s %s %s %8zu %6zu %6ld\n", step, picture[0], picture[1], resident, shared, child->faults);
  }
}

static void exchange(int fd, void* data, size_t size, ssize_t (*transfer)(int, void*, size_t)) {
  char* bytes = data;
  while (size > 0) {
    ssize_t n = transfer(fd, bytes, size);
    if (n <= 0) errx(1, "the other process has gone");
    bytes += n;
    size -= (size_t)n;
  }
}

static ssize_t send_bytes(int fd, void* data, size_t size) { return write(fd, data, size); }

// The child: for each command writes a page (the first command: none) and sends what it sees.
static _Noreturn void run_child(int commands, int views) {
  for (;;) {
    int page;
    if (read(commands, &page, sizeof page) != sizeof page) _exit(0);
    struct View view;
    take_view(&view);  // once for nothing: what it touches itself must not count
    long before = minor_faults();
    if (page >= 0) pages[(size_t)page * page_size] = 'C';
    view.faults = minor_faults() - before;
    take_view(&view);
    exchange(views, &view, sizeof view, send_bytes);
  }
}

static void ask_child(int commands, int views, int page, struct View* child) {
  exchange(commands, &page, sizeof page, send_bytes);
  exchange(views, child, sizeof *child, read);
}

static void check_parent_pages(void) {
  for (size_t i = 0; i < page_count; i++) {
    if (pages[i * page_size] != 'P') errx(1, "page %zu of the parent has changed", i);
  }
  puts("the parent's pages still hold what the parent wrote");
}

// Alone again, the parent is the only owner of its frames: writing takes no copy, and at most a fault.
static void write_alone(void) {
  struct View before;
  struct View after;
  take_view(&before);
  long faults = minor_faults();
  for (size_t i = 0; i < page_count; i++) pages[i * page_size] = 'P';
  faults = minor_faults() - faults;
  take_view(&after);
  size_t moved = 0;
  for (size_t i = 0; i < page_count; i++)
    moved += before.entries[i] != after.entries[i] && !is_same_frame(before.entries[i], after.entries[i]);
  printf("the child has gone; the parent writes all %zu pages: %ld faults", page_count, faults);
  if (before.known && (before.entries[0] & PAGEMAP_FRAME) != 0) printf(", %zu pages copied", moved);
  putchar('\n');
}

int main(int argc, char** argv) {
  if (argc > 2 || (argc == 2 && argv[1][0] == '-')) usage("cowdemo [pages]");
  if (argc == 2) page_count = parse_size(argv[1]);
  if (page_count == 0 || page_count > kMostPages) errx(kUsageError, "from 1 to %d pages", kMostPages);
  page_size = (size_t)sysconf(_SC_PAGESIZE);
  pages = mmap(NULL, page_count * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) err(1, "mmap");
  for (size_t i = 0; i < page_count; i++) pages[i * page_size] = 'P';

  int commands[2];
  int views[2];
  if (pipe(commands) < 0 || pipe(views) < 0) err(1, "pipe");
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) err(1, "fork");
  if (pid == 0) {
    close(commands[1]);
    close(views[0]);
    run_child(commands[0], views[1]);
  }
  close(commands[0]);
  close(views[1]);

  printf("%-22s %-*s %-*s %8s %6s %6s\n", "", (int)page_count, "parent", (int)page_count, "child", "resident",
         "shared", "faults");
  struct View parent = {0};
  struct View child = {0};
  ask_child(commands[1], views[0], -1, &child);
  take_view(&parent);
  print_row("after fork", &parent, &child);
  for (size_t i = 0; i < page_count; i++) {
    char step[64];
    snprintf(step, sizeof step, "child writes page %zu", i);
    ask_child(commands[1], views[0], (int)i, &child);
    take_view(&parent);
    print_row(step, &parent, &child);
  }
  if (!parent.known || !child.known) puts("(there is no /proc/self/pagemap here to see the frames in)");
  check_parent_pages();
  close(commands[1]);
  int status;
  if (waitpid(pid, &status, 0) < 0) err(1, "waitpid");
  if (status != 0) errx(1, "the child ended with status %#x", (unsigned)status);
  write_alone();
  return finish_output(0);
}
