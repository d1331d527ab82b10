// xargs: runs a program with arguments read from the standard input.
#include <sys/wait.h>

#include "user/bin/common.h"

#define SYNOPSIS "xargs [-0rt] [-n count] [-I text] [program [argument...]]"

// Well below what any kernel takes for arguments and environment together.
enum { kMostBytes = 64 * 1024, kMostArguments = 4096 };

static struct {
  bool by_nul, skip_empty, trace;
  unsigned long count;
  const char* replace;
} options = {.count = kMostArguments};

static char** fixed;
static int fixed_count;
static int status;

static void run(char** arguments) {
  if (options.trace) {
    for (int i = 0; arguments[i] != NULL; i++) fprintf(stderr, "%s%s", i > 0 ? " " : "", arguments[i]);
    fputc('\n', stderr);
  }
  pid_t pid = fork();
  if (pid < 0) err(1, "fork");
  if (pid == 0) {
    execvp(arguments[0], arguments);  // NOLINT: main() sees to it that there is a program
    int error = errno;
    warn("%s", arguments[0]);
    _exit(error == ENOENT ? 127 : 126);
  }
  int result;
  while (waitpid(pid, &result, 0) < 0) {
    if (errno != EINTR) err(1, "waitpid");
  }
  int code = WIFEXITED(result) ? WEXITSTATUS(result) : 255;
  if (code == 126 || code == 127) exit(code);
  if (code == 255) exit(124);  // the program's way of saying: stop
  if (code != 0) status = 123;
}

// Reads one argument: up to a NUL, up to a newline (-I), or a word that may contain quotes. NULL at the end.
static char* read_argument(void) {
  char* text = NULL;
  size_t used = 0;
  int quote = 0;
  bool any = false;
  for (;;) {
    int c = getchar();
    if (c == EOF) {
      if (quote != 0) errx(1, "unmatched %c", quote);
      if (!any) return NULL;
      break;
    }
    if (options.by_nul) {
      if (c == '\0') break;
    } else if (quote != 0 && c == quote) {
      quote = 0;
      continue;
    } else if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
      any = true;
      continue;
    } else if (quote == 0 && (c == '\n' || (options.replace == NULL && (c == ' ' || c == '\t')))) {
      if (any) break;
      continue;
    } else if (quote == 0 && c == '\\') {
      c = getchar();
      if (c == EOF) break;
    }
    any = true;
    text = reallocate(text, used + 2);
    text[used++] = (char)c;
  }
  text = reallocate(text, used + 1);
  text[used] = '\0';
  return text;
}

static char* replaced(const char* text, const char* value) {
  size_t length = strlen(options.replace);
  char* result = duplicate_string("");
  size_t used = 0;
  while (*text != '\0') {
    bool match = length > 0 && strncmp(text, options.replace, length) == 0;
    size_t piece = match ? strlen(value) : 1;
    result = reallocate(result, used + piece + 1);
    memcpy(result + used, match ? value : text, piece);
    used += piece;
    text += match ? length : 1;
  }
  result[used] = '\0';
  return result;
}

static void run_for_each_line(void) {
  char** arguments = allocate((size_t)(fixed_count + 1) * sizeof *arguments);
  for (char* value; (value = read_argument()) != NULL; free(value)) {
    for (int i = 0; i < fixed_count; i++) arguments[i] = replaced(fixed[i], value);
    arguments[fixed_count] = NULL;
    run(arguments);
    for (int i = 0; i < fixed_count; i++) free(arguments[i]);
  }
  free(arguments);
}

static void run_in_batches(void) {
  char** arguments = allocate(((size_t)fixed_count + kMostArguments + 1) * sizeof *arguments);
  memcpy(arguments, fixed, (size_t)fixed_count * sizeof *arguments);
  char* pending = read_argument();
  if (pending == NULL && options.skip_empty) return;
  do {
    unsigned long count = 0;
    size_t bytes = 0;
    while (pending != NULL && count < options.count && (count == 0 || bytes + strlen(pending) < kMostBytes)) {
      bytes += strlen(pending) + 1;
      arguments[(unsigned long)fixed_count + count++] = pending;
      pending = read_argument();
    }
    arguments[(unsigned long)fixed_count + count] = NULL;
    run(arguments);
    for (unsigned long i = 0; i < count; i++) free(arguments[(unsigned long)fixed_count + i]);
  } while (pending != NULL);
  free(arguments);
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "+0rtn:I:")) != -1) {
    switch (option) {
      case '0':
        options.by_nul = true;
        break;
      case 'r':
        options.skip_empty = true;
        break;
      case 't':
        options.trace = true;
        break;
      case 'n':
        options.count = parse_size(optarg);
        break;
      case 'I':
        options.replace = optarg;
        break;
      default:
        usage(SYNOPSIS);
    }
  }
  if (options.count == 0 || options.count > kMostArguments)
    errx(kUsageError, "-n: from 1 to %d", kMostArguments);
  static char name[] = "echo";
  static char* otherwise[] = {name, NULL};
  fixed = optind < argc ? argv + optind : otherwise;
  fixed_count = optind < argc ? argc - optind : 1;
  if (options.replace != NULL) {
    run_for_each_line();
  } else {
    run_in_batches();
  }
  return status;
}
