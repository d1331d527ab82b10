// env: writes the environment, or runs a program in a changed one.
#include "user/bin/common.h"

#define SYNOPSIS "env [-i] [-u name] [name=value...] [program [argument...]]"

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "+iu:")) != -1) {
    if (option == '?') usage(SYNOPSIS);
    if (option == 'i') clearenv();
    if (option == 'u' && unsetenv(optarg) < 0) err(1, "%s", optarg);
  }
  int i = optind;
  for (; i < argc && strchr(argv[i], '=') != NULL; i++) {
    if (putenv(argv[i]) != 0) err(1, "%s", argv[i]);
  }
  if (i < argc) {
    execvp(argv[i], argv + i);
    int error = errno;
    warn("%s", argv[i]);
    return error == ENOENT ? 127 : 126;
  }
  for (char** variable = environ; variable != NULL && *variable != NULL; variable++) puts(*variable);
  return finish_output(0);
}
