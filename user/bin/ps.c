// ps: lists processes.
#include <dirent.h>

#include "user/bin/proc.h"

struct ProcessInfo {
  int pid, parent;
  char state;
  unsigned long long ticks;  // of processor time, in user and kernel mode
  unsigned long long virtual_bytes;
  long long resident_pages;
  char name[64];
  char pager[kPagerNameSize];  // the policy of its memory; only Faultline tells
};

// /proc/PID/stat has the name in parentheses, and the name may hold anything, parentheses included.
static bool parse_stat(const char* text, struct ProcessInfo* info) {
  const char* open = strchr(text, '(');
  const char* close = strrchr(text, ')');
  if (open == NULL || close == NULL || close < open) return false;
  size_t length = (size_t)(close - open - 1);
  if (length >= sizeof info->name) length = sizeof info->name - 1;
  memcpy(info->name, open + 1, length);
  info->name[length] = '\0';
  unsigned long long user, system;
  int fields = sscanf(
      close + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %*u %llu %lld",
      &info->state, &info->parent, &user, &system, &info->virtual_bytes, &info->resident_pages);
  info->ticks = user + system;
  return fields == 6;
}

static void print_command(const struct ProcessInfo* info) {
  char path[64];
  char line[256];
  snprintf(path, sizeof path, "/proc/%d/cmdline", info->pid);
  ssize_t n = read_small_file(path, line, sizeof line);
  if (n <= 0) {
    printf("[%s]\n", info->name);
    return;
  }
  for (ssize_t i = 0; i < n - 1; i++) {
    if ((unsigned char)line[i] < ' ') line[i] = ' ';
  }
  puts(line);
}

static void print_process(int pid) {
  char path[64];
  char text[1024];
  struct ProcessInfo info = {.pid = pid};
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  if (read_small_file(path, text, sizeof text) <= 0) return;  // it has ended meanwhile
  if (!parse_stat(text, &info)) {
    warnx("%s: unknown format", path);
    return;
  }
  snprintf(path, sizeof path, "%d", pid);
  if (!find_pager(path, info.pager)) strcpy(info.pager, "-");
  unsigned long long hundredths = info.ticks * 100 / (unsigned long long)sysconf(_SC_CLK_TCK);
  printf("%5d %5d %c %9llu %8lld %4llu:%02llu.%02llu %-7s ", info.pid, info.parent, info.state,
         info.virtual_bytes / 1024, info.resident_pages * (sysconf(_SC_PAGESIZE) / 1024), hundredths / 6000,
         hundredths / 100 % 60, hundredths % 100, info.pager);
  print_command(&info);
}

static int compare_numbers(const void* a, const void* b) { return *(const int*)a - *(const int*)b; }

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "aefAxu")) != -1) {
    if (option == '?') usage("ps");  // the usual letters are taken: it always lists everything
  }
  DIR* directory = opendir("/proc");
  if (directory == NULL) err(1, "/proc");
  int* pids = NULL;
  size_t count = 0;
  for (struct dirent* entry; (entry = readdir(directory)) != NULL;) {
    int pid = atoi(entry->d_name);
    if (pid <= 0) continue;
    pids = reallocate(pids, (count + 1) * sizeof *pids);
    pids[count++] = pid;
  }
  closedir(directory);
  if (count > 1) qsort(pids, count, sizeof *pids, compare_numbers);
  puts("  PID  PPID S   VSZ KiB  RSS KiB       TIME PAGER   COMMAND");
  for (size_t i = 0; i < count; i++) print_process(pids[i]);
  return finish_output(0);
}
