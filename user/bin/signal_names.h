// Signal names without their SIG, as `kill` takes and prints them.
#pragma once

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct SignalName {
  int number;
  const char* name;
};

static const struct SignalName kSignalNames[] = {
    {SIGHUP, "HUP"},   {SIGINT, "INT"},     {SIGQUIT, "QUIT"}, {SIGILL, "ILL"},   {SIGTRAP, "TRAP"},
    {SIGABRT, "ABRT"}, {SIGBUS, "BUS"},     {SIGFPE, "FPE"},   {SIGKILL, "KILL"}, {SIGUSR1, "USR1"},
    {SIGSEGV, "SEGV"}, {SIGUSR2, "USR2"},   {SIGPIPE, "PIPE"}, {SIGALRM, "ALRM"}, {SIGTERM, "TERM"},
    {SIGCHLD, "CHLD"}, {SIGCONT, "CONT"},   {SIGSTOP, "STOP"}, {SIGTSTP, "TSTP"}, {SIGTTIN, "TTIN"},
    {SIGTTOU, "TTOU"}, {SIGURG, "URG"},     {SIGXCPU, "XCPU"}, {SIGXFSZ, "XFSZ"}, {SIGVTALRM, "VTALRM"},
    {SIGPROF, "PROF"}, {SIGWINCH, "WINCH"}, {SIGIO, "IO"},     {SIGSYS, "SYS"},
};

enum { kSignalNameCount = sizeof kSignalNames / sizeof kSignalNames[0] };

// "9", "KILL", "kill" and "SIGKILL" are the same signal; -1 if there is none of that name.
static inline int signal_from_name(const char* name) {
  if (name[0] >= '0' && name[0] <= '9') {
    char* end;
    long number = strtol(name, &end, 10);
    return *end == '\0' && number <= 64 ? (int)number : -1;
  }
  if (strncasecmp(name, "SIG", 3) == 0) name += 3;
  for (int i = 0; i < kSignalNameCount; i++) {
    if (strcasecmp(name, kSignalNames[i].name) == 0) return kSignalNames[i].number;
  }
  return -1;
}

// NULL if it has no name.
static inline const char* signal_name(int number) {
  for (int i = 0; i < kSignalNameCount; i++) {
    if (kSignalNames[i].number == number) return kSignalNames[i].name;
  }
  return NULL;
}
