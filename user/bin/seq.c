// seq: writes the numbers from first to last.
#include "user/bin/common.h"

static long long parse_number(const char* text) {
  char* end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (end == text || *end != '\0' || errno != 0) errx(kUsageError, "%s: not an integer", text);
  return value;
}

static int digits_of(long long value) { return snprintf(NULL, 0, "%lld", value); }

int main(int argc, char** argv) {
  const char* separator = "\n";
  bool equal_width = false;
  int i = 1;
  for (; i < argc && argv[i][0] == '-' && (argv[i][1] == 's' || argv[i][1] == 'w') && argv[i][2] == '\0';
       i++) {
    if (argv[i][1] == 'w') {
      equal_width = true;
    } else if (++i < argc) {
      separator = argv[i];
    } else {
      usage("seq [-w] [-s separator] [first [increment]] last");
    }
  }
  int count = argc - i;
  if (count < 1 || count > 3) usage("seq [-w] [-s separator] [first [increment]] last");
  long long first = count > 1 ? parse_number(argv[i]) : 1;
  long long increment = count > 2 ? parse_number(argv[i + 1]) : 1;
  long long last = parse_number(argv[argc - 1]);
  if (increment == 0) errx(kUsageError, "the increment must not be 0");
  int width = 0;
  if (equal_width) width = digits_of(first) > digits_of(last) ? digits_of(first) : digits_of(last);
  bool any = false;
  for (long long n = first; increment > 0 ? n <= last : n >= last;) {
    printf("%s%0*lld", any ? separator : "", width, n);
    any = true;
    if (__builtin_add_overflow(n, increment, &n) || ferror(stdout)) break;
  }
  if (any) putchar('\n');
  return finish_output(0);
}
