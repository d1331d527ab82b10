// uname: writes what the kernel says of itself.
#include <sys/utsname.h>

#include "user/bin/common.h"

int main(int argc, char** argv) {
  static const char kLetters[] = "snrvm";
  bool wanted[sizeof kLetters] = {false};
  bool any = false;
  int option;
  while ((option = getopt(argc, argv, "asnrvm")) != -1) {
    if (option == '?') usage("uname [-asnrvm]");
    any = true;
    for (int i = 0; kLetters[i] != '\0'; i++) wanted[i] = wanted[i] || option == 'a' || option == kLetters[i];
  }
  if (optind < argc) usage("uname [-asnrvm]");
  if (!any) wanted[0] = true;
  struct utsname names;
  if (uname(&names) < 0) err(1, "uname");
  const char* values[] = {names.sysname, names.nodename, names.release, names.version, names.machine};
  const char* separator = "";
  for (int i = 0; kLetters[i] != '\0'; i++) {
    if (!wanted[i]) continue;
    printf("%s%s", separator, values[i]);
    separator = " ";
  }
  putchar('\n');
  return finish_output(0);
}
