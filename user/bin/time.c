// time: runs a program and says how long it took.
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "user/bin/common.h"

static void print_time(const char* name, long seconds, long nanoseconds) {
  fprintf(stderr, "%s %ld.%03ld\n", name, seconds, nanoseconds / 1000000);
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "+p")) != -1) {
    if (option == '?') usage("time [-p] program [argument...]");
  }
  if (optind >= argc) usage("time [-p] program [argument...]");
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  pid_t pid = fork();
  if (pid < 0) err(1, "fork");
  if (pid == 0) {
    execvp(argv[optind], argv + optind);
    int error = errno;
    warn("%s", argv[optind]);
    _exit(error == ENOENT ? 127 : 126);
  }
  // Ctrl-C is for the program; its times are wanted all the same.
  signal(SIGINT, SIG_IGN);
  signal(SIGQUIT, SIG_IGN);
  int status;
  struct rusage usage;
  while (wait4(pid, &status, 0, &usage) < 0) {
    if (errno != EINTR) err(1, "wait4");
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  long seconds = end.tv_sec - begin.tv_sec;
  long nanoseconds = end.tv_nsec - begin.tv_nsec;
  if (nanoseconds < 0) {
    seconds--;
    nanoseconds += 1000000000;
  }
  print_time("real", seconds, nanoseconds);
  print_time("user", usage.ru_utime.tv_sec, usage.ru_utime.tv_usec * 1000);
  print_time("sys", usage.ru_stime.tv_sec, usage.ru_stime.tv_usec * 1000);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
