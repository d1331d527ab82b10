// poweroff: writes everything to the disk and switches the machine off.
#include <sys/reboot.h>

#include "user/bin/common.h"

int main(int argc, char** argv) {
  (void)argv;
  if (argc > 1) usage("poweroff");
  sync();
  reboot(RB_POWER_OFF);
  err(1, "reboot");
}
