// sleep: waits for a number of seconds, which may have a fraction.
#include <time.h>

#include "user/bin/common.h"

// Decimal digits by hand: the program needs no floating point for them.
static struct timespec parse_duration(const char* text) {
  struct timespec duration = {0, 0};
  const char* c = text;
  bool digits = false;
  for (; *c >= '0' && *c <= '9'; c++) {
    digits = true;
    if (duration.tv_sec < 1000000000) duration.tv_sec = duration.tv_sec * 10 + (*c - '0');
  }
  if (*c == '.') {
    c++;
    for (long unit = 100000000; *c >= '0' && *c <= '9'; c++, unit /= 10) {
      digits = true;
      duration.tv_nsec += (*c - '0') * unit;
    }
  }
  if (!digits || *c != '\0') errx(kUsageError, "%s: not a number of seconds", text);
  return duration;
}

int main(int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') usage("sleep seconds...");
  for (int i = 1; i < argc; i++) {
    struct timespec left = parse_duration(argv[i]);
    while (nanosleep(&left, &left) < 0) {
      if (errno != EINTR) err(1, "nanosleep");
    }
  }
  return 0;
}
