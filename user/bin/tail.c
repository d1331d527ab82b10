// tail: writes the last lines or bytes of files, or with +N everything from line or byte N on.
#include "user/bin/common.h"

static bool count_bytes;
static bool from_start;
static unsigned long long wanted = 10;

static void parse_count(const char* text) {
  from_start = text[0] == '+';
  wanted = parse_size(text + (from_start || text[0] == '-' ? 1 : 0));
}

static void write_from(FILE* file) {
  unsigned long long skip = wanted > 0 ? wanted - 1 : 0;
  int c;
  while (skip > 0 && (c = getc(file)) != EOF) {
    if (count_bytes || c == '\n') skip--;
  }
  while ((c = getc(file)) != EOF) putchar(c);
}

// Where the last `wanted` lines or bytes begin.
static size_t find_start(const char* data, size_t size) {
  if (count_bytes) return size > wanted ? size - wanted : 0;
  if (wanted == 0) return size;
  unsigned long long lines = 0;
  for (size_t i = size; i > 0; i--) {
    // The newline that ends the last line does not begin another.
    if (data[i - 1] == '\n' && i < size && ++lines == wanted) return i;
  }
  return 0;
}

// Holds no more than twice of what will be written, and a block.
static void write_last(FILE* file) {
  enum { kBlock = 65536 };
  char* data = NULL;
  size_t size = 0;
  size_t capacity = 0;
  for (;;) {
    if (size + kBlock > capacity) {
      size_t start = find_start(data, size);
      if (data != NULL) memmove(data, data + start, size - start);
      size -= start;
      capacity = 2 * (size + kBlock);
      data = reallocate(data, capacity);
    }
    size_t n = fread(data + size, 1, kBlock, file);
    size += n;
    if (n == 0) break;
  }
  size_t start = find_start(data, size);
  fwrite(data + start, 1, size - start, stdout);
  free(data);
}

static bool write_tail(const char* path) {
  FILE* file = open_input(path);
  if (file == NULL) return false;
  if (from_start) {
    write_from(file);
  } else {
    write_last(file);
  }
  bool ok = check_input(file, path);
  close_input(file);
  return ok;
}

int main(int argc, char** argv) {
  if (argc > 1 && argv[1][0] == '-' && argv[1][1] >= '0' && argv[1][1] <= '9') {  // the old way: tail -5
    parse_count(argv[1]);
    optind = 2;
  }
  int option;
  while ((option = getopt(argc, argv, "n:c:")) != -1) {
    if (option == '?') usage("tail [-n lines | -c bytes] [file...]");
    count_bytes = option == 'c';
    parse_count(optarg);
  }
  if (argc - optind < 2) return finish_output(for_each_operand(argc, argv, optind, write_tail));
  int status = 0;
  for (int i = optind; i < argc; i++) {
    printf("%s==> %s <==\n", i > optind ? "\n" : "", argv[i]);
    if (!write_tail(argv[i])) status = 1;
  }
  return finish_output(status);
}
