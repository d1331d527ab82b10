// kill: sends a signal to processes.
#include "user/bin/common.h"
#include "user/bin/signal_names.h"

#define SYNOPSIS "kill [-SIGNAL | -s SIGNAL] pid... or kill -l [number]"

static int list_signals(const char* number) {
  if (number == NULL) {
    for (int i = 0; i < kSignalNameCount; i++)
      printf("%2d %s\n", kSignalNames[i].number, kSignalNames[i].name);
    return finish_output(0);
  }
  // An exit status of the shell will do as well: 128 and the number.
  int signal_number =
      signal_from_name(number[0] >= '0' && number[0] <= '9' && atoi(number) > 128 ? "0" : number);
  if (atoi(number) > 128) signal_number = atoi(number) - 128;
  const char* name = signal_name(signal_number);
  if (name == NULL) errx(1, "%s: no such signal", number);
  puts(name);
  return finish_output(0);
}

int main(int argc, char** argv) {
  int signal_number = SIGTERM;
  int i = 1;
  if (argc > 1 && strcmp(argv[1], "-l") == 0) return list_signals(argc > 2 ? argv[2] : NULL);
  if (argc > 1 && argv[1][0] == '-' && strcmp(argv[1], "--") != 0) {
    const char* name = argv[1] + 1;
    if (strcmp(name, "s") == 0) {
      if (argc < 3) usage(SYNOPSIS);
      name = argv[++i];
    }
    signal_number = signal_from_name(name);
    if (signal_number < 0) errx(kUsageError, "%s: no such signal", name);
    i++;
  }
  if (i < argc && strcmp(argv[i], "--") == 0) i++;
  if (i >= argc) usage(SYNOPSIS);
  int status = 0;
  for (; i < argc; i++) {
    char* end;
    errno = 0;
    long pid = strtol(argv[i], &end, 10);
    if (end == argv[i] || *end != '\0' || errno != 0 || pid != (pid_t)pid) {
      warnx("%s: not a process number", argv[i]);
      status = 1;
    } else if (kill((pid_t)pid, signal_number) < 0) {
      warn("%s", argv[i]);
      status = 1;
    }
  }
  return status;
}
