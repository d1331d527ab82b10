// df: how full file systems are.
#include <sys/statvfs.h>

#include "user/bin/common.h"
#include "user/bin/proc.h"

static bool print_usage(const char* path) {
  struct statvfs status;
  if (statvfs(path, &status) < 0) {
    warn("%s", path);
    return false;
  }
  unsigned long long unit = status.f_frsize;
  unsigned long long total = status.f_blocks * unit / 1024;
  unsigned long long used = (status.f_blocks - status.f_bfree) * unit / 1024;
  unsigned long long available = status.f_bavail * unit / 1024;
  unsigned long long percent =
      used + available > 0 ? (used * 100 + used + available - 1) / (used + available) : 0;
  printf("%12llu %12llu %12llu %4llu%% %s\n", total, used, available, percent, path);
  return true;
}

// The mount points that hold blocks; those of /proc and its like do not.
static int print_mounted(void) {
  FILE* file = fopen("/proc/mounts", "r");
  if (file == NULL) return print_usage("/") ? 0 : 1;
  int result = 0;
  char line[1024];
  while (fgets(line, sizeof line, file) != NULL) {
    char path[256];
    struct statvfs status;
    if (sscanf(line, "%*s %255s", path) != 1) continue;
    if (statvfs(path, &status) == 0 && status.f_blocks > 0 && !print_usage(path)) result = 1;
  }
  fclose(file);
  return result;
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "k")) != -1) {
    if (option == '?') usage("df [-k] [file...]");
  }
  printf("%12s %12s %12s %5s %s\n", "total KiB", "used", "available", "used", "mounted on");
  int status = 0;
  for (int i = optind; i < argc; i++) {
    if (!print_usage(argv[i])) status = 1;
  }
  if (optind >= argc) status = print_mounted();
  return finish_output(status);
}
