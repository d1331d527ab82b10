// The expressions of `test` and `[`, for the program and for the shell's builtin.
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct TestExpression {
  const char* const* arguments;
  int count;
  int next;
  int depth;
  bool failed;
  char message[128];
};

enum { kTestMaxDepth = 100 };

static inline bool test_fail(struct TestExpression* test, const char* what, const char* subject) {
  if (!test->failed) snprintf(test->message, sizeof test->message, "%.60s: %s", subject, what);
  test->failed = true;
  return false;
}

static inline bool test_at(const struct TestExpression* test, const char* word) {
  return test->next < test->count && strcmp(test->arguments[test->next], word) == 0;
}

static inline long long test_number(struct TestExpression* test, const char* text) {
  char* end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (end == text || *end != '\0' || errno != 0) test_fail(test, "not an integer", text);
  return value;
}

static inline bool test_is_unary(const char* word) {
  return word[0] == '-' && word[1] != '\0' && word[2] == '\0' &&
         strchr("bcdefghknprstuwxzLOGS", word[1]) != NULL;
}

static inline bool test_unary(struct TestExpression* test, char operation, const char* operand) {
  struct stat status;
  switch (operation) {
    case 'n':
      return operand[0] != '\0';
    case 'z':
      return operand[0] == '\0';
    case 't':
      return isatty((int)test_number(test, operand));
    case 'r':
      return access(operand, R_OK) == 0;
    case 'w':
      return access(operand, W_OK) == 0;
    case 'x':
      return access(operand, X_OK) == 0;
    case 'h':
    case 'L':
      return lstat(operand, &status) == 0 && S_ISLNK(status.st_mode);
    default:
      break;
  }
  if (stat(operand, &status) != 0) return false;
  switch (operation) {
    case 'b':
      return S_ISBLK(status.st_mode);
    case 'c':
      return S_ISCHR(status.st_mode);
    case 'd':
      return S_ISDIR(status.st_mode);
    case 'f':
      return S_ISREG(status.st_mode);
    case 'p':
      return S_ISFIFO(status.st_mode);
    case 'S':
      return S_ISSOCK(status.st_mode);
    case 'g':
      return (status.st_mode & S_ISGID) != 0;
    case 'k':
      return (status.st_mode & S_ISVTX) != 0;
    case 'u':
      return (status.st_mode & S_ISUID) != 0;
    case 's':
      return status.st_size > 0;
    case 'O':
      return status.st_uid == geteuid();
    case 'G':
      return status.st_gid == getegid();
    default:
      return true;  // -e
  }
}

enum TestBinary {
  kTestNone,
  kTestSame,
  kTestDifferent,
  kTestBefore,
  kTestAfter,
  kTestEqual,
  kTestNotEqual,
  kTestLess,
  kTestLessOrEqual,
  kTestGreater,
  kTestGreaterOrEqual,
  kTestNewer,
  kTestOlder,
  kTestSameFile,
};

static inline enum TestBinary test_binary_operator(const char* word) {
  static const struct {
    const char* name;
    enum TestBinary operation;
  } kOperators[] = {{"=", kTestSame},       {"==", kTestSame},     {"!=", kTestDifferent},
                    {"<", kTestBefore},     {">", kTestAfter},     {"-eq", kTestEqual},
                    {"-ne", kTestNotEqual}, {"-lt", kTestLess},    {"-le", kTestLessOrEqual},
                    {"-gt", kTestGreater},  {"-nt", kTestNewer},   {"-ge", kTestGreaterOrEqual},
                    {"-ot", kTestOlder},    {"-ef", kTestSameFile}};
  for (size_t i = 0; i < sizeof kOperators / sizeof kOperators[0]; i++) {
    if (strcmp(word, kOperators[i].name) == 0) return kOperators[i].operation;
  }
  return kTestNone;
}

static inline bool test_files(enum TestBinary operation, const char* left, const char* right) {
  struct stat a, b;
  bool have_a = stat(left, &a) == 0;
  bool have_b = stat(right, &b) == 0;
  if (operation == kTestSameFile) return have_a && have_b && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
  if (operation == kTestOlder) {
    struct stat swapped = a;
    a = b;
    b = swapped;
    bool have = have_a;
    have_a = have_b;
    have_b = have;
  }
  if (!have_a || !have_b) return have_a;
  if (a.st_mtim.tv_sec != b.st_mtim.tv_sec) return a.st_mtim.tv_sec > b.st_mtim.tv_sec;
  return a.st_mtim.tv_nsec > b.st_mtim.tv_nsec;
}

static inline bool test_binary(struct TestExpression* test, enum TestBinary operation, const char* left,
                               const char* right) {
  switch (operation) {
    case kTestSame:
      return strcmp(left, right) == 0;
    case kTestDifferent:
      return strcmp(left, right) != 0;
    case kTestBefore:
      return strcmp(left, right) < 0;
    case kTestAfter:
      return strcmp(left, right) > 0;
    case kTestNewer:
    case kTestOlder:
    case kTestSameFile:
      return test_files(operation, left, right);
    default:
      break;
  }
  long long a = test_number(test, left);
  long long b = test_number(test, right);
  switch (operation) {
    case kTestEqual:
      return a == b;
    case kTestNotEqual:
      return a != b;
    case kTestLess:
      return a < b;
    case kTestLessOrEqual:
      return a <= b;
    case kTestGreater:
      return a > b;
    default:
      return a >= b;
  }
}

static inline bool test_or(struct TestExpression* test);

// A word that could be an operator is an operand where only an operand can stand: `[ -f = -f ]`.
static inline bool test_primary(struct TestExpression* test) {
  if (test->next >= test->count) return test_fail(test, "expression expected", "end");
  if (++test->depth > kTestMaxDepth) return test_fail(test, "nested too deeply", "(");
  const char* const* here = test->arguments + test->next;
  int left = test->count - test->next;
  bool result;
  if (left >= 3 && test_binary_operator(here[1]) != kTestNone) {
    test->next += 3;
    result = test_binary(test, test_binary_operator(here[1]), here[0], here[2]);
  } else if (left >= 2 && strcmp(here[0], "!") == 0) {
    test->next++;
    result = !test_primary(test);
  } else if (left >= 2 && test_is_unary(here[0])) {
    test->next += 2;
    result = test_unary(test, here[0][1], here[1]);
  } else if (left >= 3 && strcmp(here[0], "(") == 0) {
    test->next++;
    result = test_or(test);
    if (!test_at(test, ")")) return test_fail(test, "expected ')'", "(");
    test->next++;
  } else {
    test->next++;
    result = here[0][0] != '\0';
  }
  test->depth--;
  return result;
}

static inline bool test_and(struct TestExpression* test) {
  bool result = test_primary(test);
  while (!test->failed && test_at(test, "-a")) {
    test->next++;
    bool right = test_primary(test);
    result = result && right;
  }
  return result;
}

static inline bool test_or(struct TestExpression* test) {
  bool result = test_and(test);
  while (!test->failed && test_at(test, "-o")) {
    test->next++;
    bool right = test_and(test);
    result = result || right;
  }
  return result;
}

// Evaluates the arguments after the name (and before the `]`). Returns 0 for true, 1 for false and 2,
// with `test->message` saying why, for something that is not an expression.
static inline int test_evaluate(struct TestExpression* test, const char* const* arguments, int count) {
  memset(test, 0, sizeof *test);
  test->arguments = arguments;
  test->count = count;
  if (count == 0) return 1;
  bool result = test_or(test);
  if (!test->failed && test->next < count) test_fail(test, "unexpected", arguments[test->next]);
  if (test->failed) return 2;
  return result ? 0 : 1;
}
