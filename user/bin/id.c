// id: who runs this.
#include "user/bin/common.h"
#include "user/bin/passwd.h"

int main(int argc, char** argv) {
  bool user_only = false;
  bool group_only = false;
  bool names = false;
  int option;
  while ((option = getopt(argc, argv, "ugn")) != -1) {
    if (option == '?') usage("id [-u | -g] [-n]");
    if (option == 'u') user_only = true;
    if (option == 'g') group_only = true;
    if (option == 'n') names = true;
  }
  if (user_only || group_only) {
    unsigned number = user_only ? geteuid() : getegid();
    if (names) {
      puts(user_only ? user_name(number) : group_name(number));
    } else {
      printf("%u\n", number);
    }
    return finish_output(0);
  }
  printf("uid=%u(%s) ", (unsigned)geteuid(), user_name(geteuid()));
  printf("gid=%u(%s)\n", (unsigned)getegid(), group_name(getegid()));
  return finish_output(0);
}
