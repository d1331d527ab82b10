// tty: the name of the terminal that is the standard input; status 1 if it is none.
#include "user/bin/common.h"

int main(void) {
  if (!isatty(STDIN_FILENO)) {
    puts("not a tty");
    return 1;
  }
  const char* name = ttyname(STDIN_FILENO);
  puts(name != NULL ? name : "/dev/tty");
  return finish_output(0);
}
