// yes: writes a line again and again, until nobody reads it.
#include "user/bin/common.h"

int main(int argc, char** argv) {
  for (;;) {
    if (argc < 2) fputs("y", stdout);
    for (int i = 1; i < argc; i++) printf("%s%s", i > 1 ? " " : "", argv[i]);
    if (putchar('\n') == EOF) err(1, "write");
  }
}
