// dd: copies blocks.
#include <fcntl.h>
#include <time.h>

#include "user/bin/common.h"

static struct {
  const char* input;
  const char* output;
  size_t block_size;
  unsigned long long count, skip, seek;
  bool no_truncation, sync_at_end, quiet;
} options = {.block_size = 512, .count = ~0ULL};

static unsigned long long full_in, partial_in, full_out, partial_out, bytes;

static bool parse_words(const char* list, const char* name) {
  static const struct {
    const char* name;
    bool* option;
  } kWords[] = {{"conv=notrunc", &options.no_truncation},
                {"conv=fsync", &options.sync_at_end},
                {"status=none", &options.quiet}};
  char word[32];
  while (*list != '\0') {
    size_t length = strcspn(list, ",");
    snprintf(word, sizeof word, "%s%.*s", name, (int)length, list);
    bool known = false;
    for (size_t i = 0; i < sizeof kWords / sizeof kWords[0]; i++) {
      if (strcmp(kWords[i].name, word) != 0) continue;
      *kWords[i].option = true;
      known = true;
    }
    if (!known) return false;
    list += length + (list[length] == ',');
  }
  return true;
}

static bool parse_operand(const char* text) {
  if (strncmp(text, "if=", 3) == 0) return (options.input = text + 3), true;
  if (strncmp(text, "of=", 3) == 0) return (options.output = text + 3), true;
  if (strncmp(text, "bs=", 3) == 0) return (options.block_size = parse_size(text + 3)), true;
  if (strncmp(text, "count=", 6) == 0) return (options.count = parse_size(text + 6)), true;
  if (strncmp(text, "skip=", 5) == 0) return (options.skip = parse_size(text + 5)), true;
  if (strncmp(text, "seek=", 5) == 0) return (options.seek = parse_size(text + 5)), true;
  if (strncmp(text, "conv=", 5) == 0) return parse_words(text + 5, "conv=");
  if (strncmp(text, "status=", 7) == 0) return parse_words(text + 7, "status=");
  return false;
}

static off_t offset_of(unsigned long long blocks) {
  unsigned long long offset;
  if (__builtin_mul_overflow(blocks, options.block_size, &offset) || offset > (~0ULL >> 1)) {
    errx(kUsageError, "offset too large");
  }
  return (off_t)offset;
}

// Moves past the first blocks of the input, by reading them if it cannot seek.
static void skip_input(char* block) {
  if (options.skip == 0 || lseek(STDIN_FILENO, offset_of(options.skip), SEEK_CUR) >= 0) return;
  for (unsigned long long i = 0; i < options.skip; i++) {
    ssize_t n = read(STDIN_FILENO, block, options.block_size);
    if (n < 0) err(1, "read");
    if (n == 0) return;
  }
}

static void open_files(void) {
  if (options.input != NULL) {
    int fd = open(options.input, O_RDONLY);
    if (fd < 0 || dup2(fd, STDIN_FILENO) < 0) err(1, "%s", options.input);
    if (fd != STDIN_FILENO) close(fd);
  }
  if (options.output != NULL) {
    int fd = open(options.output, O_WRONLY | O_CREAT, 0666);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0) err(1, "%s", options.output);
    if (fd != STDOUT_FILENO) close(fd);
    off_t start = offset_of(options.seek);
    // Devices cannot be cut, and need not be.
    if (!options.no_truncation && ftruncate(STDOUT_FILENO, start) < 0 && errno != EINVAL)
      err(1, "%s", options.output);
  }
  if (options.seek > 0 && lseek(STDOUT_FILENO, offset_of(options.seek), SEEK_CUR) < 0) err(1, "seek");
}

static void copy_blocks(char* block) {
  for (unsigned long long i = 0; i < options.count; i++) {
    ssize_t n = read(STDIN_FILENO, block, options.block_size);
    if (n < 0 && errno == EINTR) {
      i--;
      continue;
    }
    if (n < 0) err(1, "%s", options.input ? options.input : "standard input");
    if (n == 0) break;
    bool full = (size_t)n == options.block_size;
    *(full ? &full_in : &partial_in) += 1;
    if (!write_fully(STDOUT_FILENO, block, (size_t)n))
      err(1, "%s", options.output ? options.output : "standard output");
    *(full ? &full_out : &partial_out) += 1;
    bytes += (size_t)n;
  }
}

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    if (!parse_operand(argv[i])) {
      usage("dd [if=file] [of=file] [bs=n] [count=n] [skip=n] [seek=n] [conv=notrunc,fsync] [status=none]");
    }
  }
  if (options.block_size == 0) errx(kUsageError, "bs=0: blocks must hold something");
  char* block = allocate(options.block_size);
  open_files();
  skip_input(block);
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  copy_blocks(block);
  if (options.sync_at_end && fsync(STDOUT_FILENO) < 0) err(1, "fsync");
  clock_gettime(CLOCK_MONOTONIC, &end);
  if (options.quiet) return 0;
  long long milliseconds = (end.tv_sec - begin.tv_sec) * 1000LL + (end.tv_nsec - begin.tv_nsec) / 1000000;
  fprintf(stderr, "%llu+%llu records in\n%llu+%llu records out\n", full_in, partial_in, full_out,
          partial_out);
  fprintf(stderr, "%llu bytes in %lld.%03lld s\n", bytes, milliseconds / 1000, milliseconds % 1000);
  return 0;
}
