// pwd: writes the working directory.
#include <limits.h>

#include "user/bin/common.h"

int main(void) {
  char path[PATH_MAX];
  if (getcwd(path, sizeof path) == NULL) err(1, "getcwd");
  puts(path);
  return finish_output(0);
}
