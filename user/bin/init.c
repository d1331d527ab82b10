// init: process 1. Gives the console a session with a shell in it, and collects every orphan.
//
// A new session for each shell: the previous one's background jobs may still hold the console as
// their controlling terminal, and only a session leader that has none can acquire it.
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHELL "/bin/sh"
// What the shell's child exits with when SHELL cannot be executed, as shells themselves do.
enum { CANNOT_EXECUTE = 126, NOT_FOUND = 127 };

static void open_console(void) {
  for (int fd = 0; fd <= 2; fd++) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    int console = open("/dev/console", O_RDWR | O_NOCTTY);
    if (console < 0) exit(NOT_FOUND);  // nowhere to complain: the kernel reports the status
    if (console != fd) {
      dup2(console, fd);
      close(console);
    }
  }
}

static void set_environment(void) {
  setenv("PATH", "/bin", 1);
  setenv("HOME", "/", 1);
  setenv("TERM", "vt100", 0);
}

static void print_message_of_the_day(void) {
  FILE* motd = fopen("/etc/motd", "r");
  if (!motd) return;
  char buffer[512];
  size_t n;
  while ((n = fread(buffer, 1, sizeof buffer, motd)) > 0) fwrite(buffer, 1, n, stdout);
  fclose(motd);
  fflush(stdout);
}

// Runs in the child: never returns. A failed execve is the only way to CANNOT_EXECUTE or NOT_FOUND
// without the shell's having run, so the parent asks the pipe (closed by a successful execve) instead.
static _Noreturn void become_shell(int failure_pipe) {
  setsid();
  ioctl(STDIN_FILENO, TIOCSCTTY, 1);  // a console that cannot be a controlling terminal still serves
  for (int signal_number = 1; signal_number < NSIG; signal_number++) signal(signal_number, SIG_DFL);
  char name[] = "-sh";
  char* arguments[] = {name, NULL};
  execv(SHELL, arguments);
  int error = errno;
  if (write(failure_pipe, &error, sizeof error) != sizeof error) _exit(CANNOT_EXECUTE);
  _exit(error == ENOENT ? NOT_FOUND : CANNOT_EXECUTE);
}

// Memory may be scarce when a shell has just been killed for it. Nothing announces that there is
// enough again, so the attempt is repeated at leisure.
static pid_t fork_patiently(void) {
  for (;;) {
    pid_t pid = fork();
    if (pid >= 0) return pid;
    if (errno != EAGAIN && errno != ENOMEM) err(1, "fork");
    warn("fork");
    sleep(1);
  }
}

static pid_t start_shell(void) {
  int failure[2];
  if (pipe2(failure, O_CLOEXEC) < 0) err(1, "pipe");
  pid_t pid = fork_patiently();
  if (pid == 0) become_shell(failure[1]);
  close(failure[1]);
  int error = 0;
  ssize_t n = read(failure[0], &error, sizeof error);
  close(failure[0]);
  if (n == sizeof error) {
    errno = error;
    err(error == ENOENT ? NOT_FOUND : CANNOT_EXECUTE, "cannot execute %s", SHELL);
  }
  return pid;
}

// Collects children, ours and adopted ones, until the shell is among them; returns its wait status.
static int wait_for(pid_t shell) {
  for (;;) {
    int status;
    pid_t pid = wait(&status);
    if (pid == shell) return status;
    if (pid < 0 && errno == ECHILD) return 0;
  }
}

int main(void) {
  open_console();
  // A Ctrl-C or a hang-up meant for the shell's session must not end the whole machine.
  signal(SIGINT, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  signal(SIGQUIT, SIG_IGN);
  set_environment();
  print_message_of_the_day();
  for (;;) {
    int status = wait_for(start_shell());
    if (WIFSIGNALED(status)) {
      printf("init: %s ended by signal %d (%s), starting it again\n", SHELL, WTERMSIG(status),
             strsignal(WTERMSIG(status)));
    } else {
      printf("init: %s exited with status %d, starting it again\n", SHELL, WEXITSTATUS(status));
    }
    fflush(stdout);
  }
}
