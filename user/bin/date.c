// date: writes the time.
#include <time.h>

#include "user/bin/common.h"

#define SYNOPSIS "date [-u] [-d @seconds] [+format]"

int main(int argc, char** argv) {
  time_t now = time(NULL);
  int option;
  while ((option = getopt(argc, argv, "ud:")) != -1) {
    if (option == '?' || (option == 'd' && optarg[0] != '@')) usage(SYNOPSIS);
    if (option == 'u') setenv("TZ", "UTC0", 1);
    if (option == 'd') now = (time_t)parse_size(optarg + 1);
  }
  const char* format = "%a %b %e %H:%M:%S %Z %Y";
  if (optind < argc) {
    if (argc - optind > 1 || argv[optind][0] != '+') usage(SYNOPSIS);
    format = argv[optind] + 1;
  }
  struct tm broken;
  tzset();  // localtime_r need not look at TZ by itself
  if (localtime_r(&now, &broken) == NULL) err(1, "time");
  char text[1024];
  // strftime cannot tell an empty result from one that does not fit.
  if (strftime(text, sizeof text, format, &broken) == 0 && format[0] != '\0') errx(1, "%s: too long", format);
  puts(text);
  return finish_output(0);
}
