// printf: writes its arguments in a format, which is used again while there are arguments left.
#include "user/bin/common.h"
#include "user/bin/escape.h"

static char** arguments;
static int status;

static const char* next_argument(void) { return *arguments != NULL ? *arguments++ : NULL; }

// 'c is the number of the character; an argument that is missing counts as 0.
static long long next_integer(void) {
  const char* text = next_argument();
  if (text == NULL || *text == '\0') return 0;
  if (*text == '\'' || *text == '"') return (unsigned char)text[1];
  char* end;
  errno = 0;
  long long value = *text == '-' ? strtoll(text, &end, 0) : (long long)strtoull(text, &end, 0);
  if (end == text || *end != '\0' || errno != 0) {
    warnx("%s: not an integer", text);
    status = 1;
  }
  return value;
}

static double next_real(void) {
  const char* text = next_argument();
  if (text == NULL || *text == '\0') return 0;
  char* end;
  double value = strtod(text, &end);
  if (end == text || *end != '\0') {
    warnx("%s: not a number", text);
    status = 1;
  }
  return value;
}

// %b: a string with backslash sequences. False after \c.
static bool put_escaped(const char* text) {
  while (text != NULL && *text != '\0') {
    int c = (unsigned char)*text++;
    if (c == '\\') c = decode_escape(&text);
    if (c < 0) return false;
    putchar(c);
  }
  return true;
}

// Writes the conversion at `*format` (after the %) and moves past it. False if all output is to stop.
static bool convert(const char** format) {
  char conversion[64] = "%";
  size_t length = 1;
  const char* c = *format;
  while (*c != '\0' && strchr("-+ #0123456789.*", *c) != NULL && length < 40) {
    if (*c == '*') {
      long long number = next_integer();
      if (number < -100000 || number > 100000) number = 0;
      length += (size_t)snprintf(conversion + length, 12, "%d", (int)number);
      c++;
    } else {
      conversion[length++] = *c++;
    }
  }
  char kind = *c;
  *format = kind != '\0' ? c + 1 : c;
  if (kind == 'b') return put_escaped(next_argument());
  if (kind == 'c') {
    const char* text = next_argument();
    if (text != NULL && *text != '\0') putchar(*text);
  } else if (kind == 's') {
    const char* text = next_argument();
    memcpy(conversion + length, "s", 2);
    printf(conversion, text != NULL ? text : "");
  } else if (kind != '\0' && strchr("diouxX", kind) != NULL) {
    snprintf(conversion + length, sizeof conversion - length, "ll%c", kind);
    printf(conversion, next_integer());
  } else if (kind != '\0' && strchr("eEfFgG", kind) != NULL) {
    snprintf(conversion + length, sizeof conversion - length, "%c", kind);
    printf(conversion, next_real());
  } else {
    warnx("%%%.1s: unknown conversion", c);
    status = 1;
    return false;
  }
  return true;
}

static bool print_once(const char* format) {
  while (*format != '\0') {
    int c = (unsigned char)*format++;
    if (c == '\\') {
      if (*format == '"') {
        format++;
        c = '"';
      } else {
        c = decode_escape(&format);
      }
      if (c < 0) return false;
    } else if (c == '%' && *format == '%') {
      format++;
    } else if (c == '%') {
      if (!convert(&format)) return false;
      continue;
    }
    putchar(c);
  }
  return true;
}

int main(int argc, char** argv) {
  int first = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
  if (argc <= first) usage("printf format [argument...]");
  arguments = argv + first + 1;
  for (;;) {
    char** before = arguments;
    if (!print_once(argv[first]) || *arguments == NULL || arguments == before) break;
  }
  return finish_output(status);
}
