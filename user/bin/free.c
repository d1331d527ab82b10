// free: how much memory there is and how much of it is in use.
#include "user/bin/proc.h"

int main(int argc, char** argv) {
  unsigned shift = 0;  // from KiB
  int option;
  while ((option = getopt(argc, argv, "km")) != -1) {
    if (option == '?') usage("free [-k | -m]");
    shift = option == 'm' ? 10 : 0;
  }
  char text[8192];
  if (read_small_file("/proc/meminfo", text, sizeof text) < 0) err(1, "/proc/meminfo");
  long long total = find_number(text, "MemTotal:");
  long long unused = find_number(text, "MemFree:");
  long long buffers = find_number(text, "Buffers:");
  long long cached = find_number(text, "Cached:");
  if (total < 0 || unused < 0) errx(1, "/proc/meminfo: unknown format");
  if (buffers < 0) buffers = 0;
  if (cached < 0) cached = 0;
  printf("%11s %11s %11s %11s\n", shift ? "total MiB" : "total KiB", "used", "free", "buff/cache");
  printf("%11lld %11lld %11lld %11lld\n", total >> shift, (total - unused - buffers - cached) >> shift,
         unused >> shift, (buffers + cached) >> shift);
  return finish_output(0);
}
