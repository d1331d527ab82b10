// Shell patterns: `*`, `?`, `[a-z]`, `[!a-z]`, and a backslash before a character that stands for itself.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Matches one character against the bracket expression at `pattern` (just after the `[`). Returns the
// first character after the closing `]`, or NULL if there is none: the `[` is then an ordinary character.
static inline const char* match_bracket(const char* pattern, unsigned char c, bool* matched) {
  bool negated = *pattern == '!' || *pattern == '^';
  if (negated) pattern++;
  bool found = false;
  const char* first = pattern;
  while (*pattern != '\0' && (*pattern != ']' || pattern == first)) {
    if (*pattern == '\\' && pattern[1] != '\0') pattern++;
    unsigned char low = (unsigned char)*pattern++;
    unsigned char high = low;
    if (pattern[0] == '-' && pattern[1] != ']' && pattern[1] != '\0') {
      pattern++;
      if (*pattern == '\\' && pattern[1] != '\0') pattern++;
      high = (unsigned char)*pattern++;
    }
    if (low <= c && c <= high) found = true;
  }
  if (*pattern != ']') return NULL;
  *matched = found != negated;
  return pattern + 1;
}

// Matches one character of the text; returns what follows in the pattern, or NULL if it does not match.
static inline const char* match_one(const char* pattern, unsigned char c) {
  if (*pattern == '?') return pattern + 1;
  if (*pattern == '[') {
    bool matched = false;
    const char* rest = match_bracket(pattern + 1, c, &matched);
    if (rest != NULL) return matched ? rest : NULL;
  }
  if (*pattern == '\\' && pattern[1] != '\0') pattern++;
  return (unsigned char)*pattern == c ? pattern + 1 : NULL;
}

// True if the whole text matches. Only the last `*` seen is ever reconsidered, which suffices because
// a `*` can take whatever an earlier one could; so the time is at most the product of the lengths.
static inline bool match_pattern(const char* pattern, const char* text) {
  const char* star = NULL;
  const char* star_text = NULL;
  for (;;) {
    if (*pattern == '*') {
      star = ++pattern;
      star_text = text;
      continue;
    }
    if (*text == '\0' && *pattern == '\0') return true;
    const char* rest = *text != '\0' && *pattern != '\0' ? match_one(pattern, (unsigned char)*text) : NULL;
    if (rest != NULL) {
      pattern = rest;
      text++;
    } else if (star != NULL && *star_text != '\0') {
      pattern = star;
      text = ++star_text;
    } else {
      return false;
    }
  }
}
