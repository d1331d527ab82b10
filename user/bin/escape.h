// The backslash sequences of echo -e, printf and tr.
#pragma once

#include <stdbool.h>

// Decodes the sequence at `*text`, just after its backslash, and moves `*text` past it. Returns the
// character; -1 for `\c` (stop all output); a backslash, taking nothing, for an unknown sequence.
static inline int decode_escape(const char** text) {
  static const char kLetters[] = "abfnrtv\\";
  static const char kValues[] = "\a\b\f\n\r\t\v\\";
  char c = **text;
  for (int i = 0; kLetters[i] != '\0'; i++) {
    if (c == kLetters[i]) {
      ++*text;
      return kValues[i];
    }
  }
  if (c == 'c') {
    ++*text;
    return -1;
  }
  if (c < '0' || c > '7') return '\\';
  int value = 0;
  for (int digits = 0; digits < 4 && **text >= '0' && **text <= '7'; digits++) {
    if (digits == 3 && c != '0') break;  // \0ddd or \ddd
    value = value * 8 + (*(*text)++ - '0');
  }
  return value & 0xff;
}
