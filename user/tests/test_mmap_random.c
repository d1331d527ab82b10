// Random mappings against a model: a window of pages is mapped, unmapped, protected, moved, discarded,
// written and forked at random, and after every step the memory must be what a plain table of pages says it
// is.
#define TAP_OPTIONS "steps"
#include "common/fault.h"
#include "common/pages.h"

#define RW (PROT_READ | PROT_WRITE)

enum { window_pages = 96, file_pages = 32, shared_pages = 32, largest_run = 24 };
enum kind { kind_hole, kind_anonymous, kind_file, kind_shared };

// What the model knows of one page of the window.
struct page {
  enum kind kind;
  int protection;
  unsigned area;   // the mmap call that made it: mremap is only asked to move pages of one
  int source;      // its page of the file or of the shared object
  uint64_t value;  // of private memory: both its first and its last word
};

static struct page model[window_pages];
static uint64_t shared_values[shared_pages];
static char* window;
static int file_descriptor, shared_descriptor;
static unsigned next_area;

static uint64_t file_value(int page) { return UINT64_C(0xf11e000000000000) + (uint64_t)page; }

static uint64_t* first_word(int page) { return (uint64_t*)(window + page * page_size); }
static uint64_t* last_word(int page) { return (uint64_t*)(window + (page + 1) * page_size - 8); }

static uint64_t* value_of(struct page* page) {
  return page->kind == kind_shared ? &shared_values[page->source] : &page->value;
}

static void check_page(int i, const char* after) {
  struct page* page = &model[i];
  bool readable = page->kind != kind_hole && page->protection & PROT_READ;
  struct fault fault = fault_of(access_read, first_word(i));
  int expected_code = page->kind == kind_hole ? SEGV_MAPERR : SEGV_ACCERR;
  if (readable != (fault.signal == 0) ||
      (!readable && (fault.signal != SIGSEGV || fault.code != expected_code))) {
    FAIL("after %s: reading page %d (kind %d protection %d): signal %d code %d", after, i, page->kind,
         page->protection, fault.signal, fault.code);
    return;
  }
  if (!readable) return;
  uint64_t want = *value_of(page);
  if (*(volatile uint64_t*)first_word(i) != want || *(volatile uint64_t*)last_word(i) != want)
    FAIL("after %s: page %d (kind %d) holds %#llx and %#llx, expected %#llx", after, i, page->kind,
         (unsigned long long)*first_word(i), (unsigned long long)*last_word(i), (unsigned long long)want);
}

static void check_window(const char* after) {
  for (int i = 0; i < window_pages && !tap_failures; i++) check_page(i, after);
}

struct run {
  int start, count;
};

static struct run random_run(void) {
  struct run run;
  run.start = (int)tap_below(window_pages);
  run.count = 1 + (int)tap_below(tap_below(4) ? 6 : largest_run);
  if (run.start + run.count > window_pages) run.count = window_pages - run.start;
  return run;
}

static int random_protection(void) {
  static const int protections[] = {RW, RW, RW, PROT_READ, PROT_READ | PROT_EXEC, PROT_NONE};
  return protections[tap_below(sizeof protections / sizeof *protections)];
}

static const char* do_map(void) {
  struct run run = random_run();
  enum kind kind = (enum kind)(kind_anonymous + tap_below(3));
  int limit = kind == kind_file ? file_pages : shared_pages, source = 0;
  if (kind != kind_anonymous) {
    source = (int)tap_below((uint64_t)limit);
    if (run.count > limit - source) run.count = limit - source;
  }
  int protection = random_protection();
  int descriptor = kind == kind_file ? file_descriptor : kind == kind_shared ? shared_descriptor : -1;
  int flags = MAP_FIXED | (kind == kind_shared ? MAP_SHARED : MAP_PRIVATE) |
              (kind == kind_anonymous ? MAP_ANONYMOUS : 0);
  void* at = mmap(first_word(run.start), (size_t)run.count * page_size, protection, flags, descriptor,
                  (off_t)source * page_size);
  CHECK(at == first_word(run.start));
  next_area++;
  for (int i = 0; i < run.count; i++) {
    struct page page = {kind, protection, next_area, source + i,
                        kind == kind_file ? file_value(source + i) : 0};
    model[run.start + i] = page;
  }
  return "mmap";
}

static const char* do_unmap(void) {
  struct run run = random_run();
  CHECK_EQ(munmap(first_word(run.start), (size_t)run.count * page_size), 0);
  for (int i = 0; i < run.count; i++) model[run.start + i].kind = kind_hole;
  return "munmap";
}

// Shortens the run to its pages before the first hole.
static struct run without_holes(struct run run) {
  for (int i = 0; i < run.count; i++)
    if (model[run.start + i].kind == kind_hole) run.count = i;
  return run;
}

static const char* do_protect(void) {
  struct run run = without_holes(random_run());
  if (run.count == 0) return "nothing";
  int protection = random_protection();
  CHECK_EQ(mprotect(first_word(run.start), (size_t)run.count * page_size, protection), 0);
  for (int i = 0; i < run.count; i++) model[run.start + i].protection = protection;
  return "mprotect";
}

static const char* do_discard(void) {
  struct run run = without_holes(random_run());
  if (run.count == 0) return "nothing";
  CHECK_EQ(madvise(first_word(run.start), (size_t)run.count * page_size, MADV_DONTNEED), 0);
  for (int i = 0; i < run.count; i++) {
    struct page* page = &model[run.start + i];
    page->value = page->kind == kind_file ? file_value(page->source) : 0;
  }
  return "madvise";
}

// Whether the run is one piece of one mapping, so that mremap must take it whole.
static bool is_one_piece(struct run run) {
  struct page* first = &model[run.start];
  if (first->kind == kind_hole) return false;
  for (int i = 1; i < run.count; i++) {
    struct page* page = &model[run.start + i];
    if (page->kind == kind_hole || page->area != first->area || page->protection != first->protection)
      return false;
    if (page->kind != kind_anonymous && page->source != first->source + i) return false;
  }
  return true;
}

static const char* do_move(void) {
  struct run run = random_run();
  while (run.count > 1 && !is_one_piece(run)) run.count--;
  int target = (int)tap_below((uint64_t)(window_pages - run.count + 1));
  bool overlap = target < run.start + run.count && run.start < target + run.count;
  if (!is_one_piece(run) || overlap) return "nothing";
  size_t size = (size_t)run.count * page_size;
  void* moved = mremap(first_word(run.start), size, size, MREMAP_MAYMOVE | MREMAP_FIXED, first_word(target));
  CHECK(moved == first_word(target));
  // A moved piece is an area of its own from now on: where it came from and where it went may differ.
  next_area++;
  for (int i = 0; i < run.count; i++) {
    model[target + i] = model[run.start + i];
    model[target + i].area = next_area;
    model[run.start + i].kind = kind_hole;
  }
  return "mremap";
}

static void write_page(int i, uint64_t value) {
  struct page* page = &model[i];
  if (page->kind == kind_hole || !(page->protection & PROT_WRITE)) {
    struct fault fault = fault_of(access_write, first_word(i));
    CHECK_EQ(fault.signal, SIGSEGV);
    CHECK_EQ(fault.code, page->kind == kind_hole ? SEGV_MAPERR : SEGV_ACCERR);
    return;
  }
  *(volatile uint64_t*)first_word(i) = value;
  *(volatile uint64_t*)last_word(i) = value;
  *value_of(page) = value;
}

static const char* do_write(void) {
  struct run run = random_run();
  for (int i = 0; i < run.count && i < 8; i++) write_page(run.start + i, tap_random());
  return "write";
}

// The child checks and rewrites everything; then only what it wrote to shared pages may be seen here.
static const char* do_fork(void) {
  uint64_t seed = tap_random();
  pid_t child = tap_fork();
  if (child == 0) {
    check_window("fork, in the child");
    for (int i = 0; i < window_pages; i++) write_page(i, seed + (uint64_t)i);
    check_window("writing in the child");
    tap_exit();
  }
  tap_join(child);
  for (int i = 0; i < window_pages; i++)
    if (model[i].kind == kind_shared && model[i].protection & PROT_WRITE)
      shared_values[model[i].source] = seed + (uint64_t)i;
  return "fork";
}

static const char* random_step(void) {
  switch (tap_below(32)) {
    case 0 ... 6:
      return do_map();
    case 7 ... 9:
      return do_unmap();
    case 10 ... 14:
      return do_protect();
    case 15 ... 17:
      return do_discard();
    case 18 ... 21:
      return do_move();
    case 22:
      return do_fork();
    default:
      return do_write();
  }
}

static void make_sources(void) {
  uint64_t words[page_size / 8] = {0};
  file_descriptor = create_file(tap_path("file"), words, 0);
  for (int i = 0; i < file_pages; i++) {
    words[0] = words[page_size / 8 - 1] = file_value(i);
    REQUIRE(write(file_descriptor, words, page_size) == page_size);
  }
  shared_descriptor = create_file(tap_path("shared"), words, 0);
  REQUIRE(ftruncate(shared_descriptor, shared_pages * page_size) == 0);
}

static void prepare(void) {
  fault_catch();
  make_sources();
  window = map_pages(window_pages, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
  REQUIRE(munmap(window, window_pages * page_size) == 0);
}

TEST(random, "after every one of thousands of random steps the memory is what the model says") {
  uint64_t steps = tap_number("steps", 4000), seed = tap_seed;
  prepare();
  for (uint64_t step = 0; step < steps && !tap_failures; step++) {
    const char* what = random_step();
    if (step % 16 == 0)
      check_window(what);
    else
      for (int i = 0; i < 6; i++) check_page((int)tap_below(window_pages), what);
    if (tap_failures)
      NOTE("at step %llu: replay with --seed=%llu", (unsigned long long)step, (unsigned long long)seed);
  }
  check_window("the last step");
}

TEST(file_unchanged, "private writes of a random run never reach the file") {
  prepare();
  for (uint64_t step = 0; step < 500 && !tap_failures; step++) random_step();
  for (int i = 0; i < file_pages; i++) {
    uint64_t value = 0;
    CHECK_EQ(pread(file_descriptor, &value, sizeof value, (off_t)i * page_size), sizeof value);
    CHECK_EQ(value, file_value(i));
  }
  for (int i = 0; i < shared_pages; i++) {
    uint64_t value = 0;
    CHECK_EQ(pread(shared_descriptor, &value, sizeof value, (off_t)i * page_size), sizeof value);
    CHECK_EQ(value, shared_values[i]);
  }
}
