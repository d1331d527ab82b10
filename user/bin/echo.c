// echo: writes its arguments.
#include "user/bin/common.h"
#include "user/bin/escape.h"

// Writes a string with backslash sequences; false after \c, which ends all output.
static bool put_escaped(const char* text) {
  while (*text != '\0') {
    int c = (unsigned char)*text++;
    if (c == '\\') c = decode_escape(&text);
    if (c < 0) return false;
    putchar(c);
  }
  return true;
}

int main(int argc, char** argv) {
  bool newline = true;
  bool escapes = false;
  int i = 1;
  for (; i < argc; i++) {
    const char* option = argv[i];
    if (option[0] != '-' || option[1] == '\0' || option[1 + strspn(option + 1, "neE")] != '\0') break;
    while (*++option != '\0') {
      if (*option == 'n') newline = false;
      if (*option != 'n') escapes = *option == 'e';
    }
  }
  for (int first = i; i < argc; i++) {
    if (i > first) putchar(' ');
    if (!escapes) {
      fputs(argv[i], stdout);
    } else if (!put_escaped(argv[i])) {
      return finish_output(0);
    }
  }
  if (newline) putchar('\n');
  return finish_output(0);
}
