// test, [: evaluates an expression about files, strings and numbers.
#include "user/bin/common.h"
#include "user/bin/test_expression.h"

int main(int argc, char** argv) {
  int count = argc - 1;
  if (strcmp(last_component(argv[0]), "[") == 0) {
    if (count == 0 || strcmp(argv[argc - 1], "]") != 0) errx(kUsageError, "']' expected at the end");
    count--;
  }
  struct TestExpression test;
  int status = test_evaluate(&test, (const char* const*)argv + 1, count);
  if (status == kUsageError) warnx("%s", test.message);
  return status;
}
