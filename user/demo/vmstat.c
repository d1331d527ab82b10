// vmstat: what the memory manager has counted: faults of each kind, copies, shootdowns. With an interval,
// what was added in each.
#include <ctype.h>
#include <time.h>

#include "user/bin/proc.h"

enum { kMostCounters = 512, kNameSize = 48 };

struct Counter {
  char name[kNameSize];
  unsigned long long value;
};

struct Sample {
  struct Counter counters[kMostCounters];
  size_t count;
};

static void take_sample(struct Sample* sample) {
  static char text[65536];
  if (read_small_file("/proc/vmstat", text, sizeof text) < 0) err(1, "/proc/vmstat");
  sample->count = 0;
  char* rest = NULL;
  for (char* line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    struct Counter* counter = &sample->counters[sample->count];
    if (sample->count < kMostCounters && sscanf(line, "%47s %llu", counter->name, &counter->value) == 2)
      sample->count++;
  }
}

// Two columns: the counters of a small kernel then fit on one screen.
static void print_totals(const struct Sample* sample, bool with_zeros) {
  size_t column = 0;
  for (size_t i = 0; i < sample->count; i++) {
    const struct Counter* counter = &sample->counters[i];
    if (counter->value == 0 && !with_zeros) continue;
    printf("%-26s %12llu%s", counter->name, counter->value, column % 2 == 0 ? "   " : "\n");
    column++;
  }
  if (column % 2 != 0) putchar('\n');
}

static const struct Counter* find_counter(const struct Sample* sample, const char* name, size_t likely) {
  if (likely < sample->count && strcmp(sample->counters[likely].name, name) == 0)
    return &sample->counters[likely];
  for (size_t i = 0; i < sample->count; i++) {
    if (strcmp(sample->counters[i].name, name) == 0) return &sample->counters[i];
  }
  return NULL;
}

static void print_differences(const struct Sample* before, const struct Sample* now, bool with_zeros) {
  bool any = false;
  for (size_t i = 0; i < now->count; i++) {
    const struct Counter* counter = &now->counters[i];
    const struct Counter* old = find_counter(before, counter->name, i);
    // Some are not counters but levels (free pages): those fall as well.
    long long difference = (long long)(counter->value - (old != NULL ? old->value : 0));
    if (difference == 0 && !with_zeros) continue;
    printf("  %-26s %+12lld\n", counter->name, difference);
    any = true;
  }
  if (!any) puts("  nothing changed");
}

static unsigned long parse_count(const char* text) {
  unsigned long long value = parse_size(text);
  if (value == 0 || value > 1000000) errx(kUsageError, "%s: from 1 to 1000000", text);
  return (unsigned long)value;
}

int main(int argc, char** argv) {
  bool with_zeros = false;
  int option;
  while ((option = getopt(argc, argv, "a")) != -1) {
    if (option == '?') usage("vmstat [-a] [interval [count]]");
    with_zeros = true;
  }
  if (argc - optind > 2) usage("vmstat [-a] [interval [count]]");
  unsigned long interval = optind < argc ? parse_count(argv[optind]) : 0;
  unsigned long count = argc - optind == 2 ? parse_count(argv[optind + 1]) : ~0UL;
  static struct Sample samples[2];
  take_sample(&samples[0]);
  print_totals(&samples[0], with_zeros);
  for (unsigned long i = 0; interval > 0 && i < count; i++) {
    fflush(stdout);
    struct timespec left = {(time_t)interval, 0};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
    take_sample(&samples[(i + 1) % 2]);
    printf("after %lu s:\n", (i + 1) * interval);
    print_differences(&samples[i % 2], &samples[(i + 1) % 2], with_zeros);
  }
  return finish_output(0);
}
