// clear: empties the terminal's screen.
#include "user/bin/common.h"

int main(void) {
  fputs("\033[H\033[2J", stdout);
  return finish_output(0);
}
