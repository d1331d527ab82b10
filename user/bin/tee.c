// tee: copies its input to its output and to files.
#include <fcntl.h>
#include <signal.h>

#include "user/bin/common.h"

int main(int argc, char** argv) {
  int flags = O_WRONLY | O_CREAT | O_TRUNC;
  int option;
  while ((option = getopt(argc, argv, "ai")) != -1) {
    if (option == '?') usage("tee [-ai] [file...]");
    if (option == 'a') flags = O_WRONLY | O_CREAT | O_APPEND;
    if (option == 'i') signal(SIGINT, SIG_IGN);
  }
  int count = argc - optind + 1;
  int* outputs = allocate((size_t)count * sizeof *outputs);
  int status = 0;
  outputs[0] = STDOUT_FILENO;
  for (int i = 1; i < count; i++) {
    outputs[i] = open(argv[optind + i - 1], flags, 0666);
    if (outputs[i] >= 0) continue;
    warn("%s", argv[optind + i - 1]);
    status = 1;
  }
  static char buffer[65536];
  for (;;) {
    ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) err(1, "read");
    if (n == 0) break;
    for (int i = 0; i < count; i++) {
      if (outputs[i] < 0 || write_fully(outputs[i], buffer, (size_t)n)) continue;
      warn("%s", i == 0 ? "standard output" : argv[optind + i - 1]);
      outputs[i] = -1;  // the others go on
      status = 1;
    }
  }
  return status;
}
