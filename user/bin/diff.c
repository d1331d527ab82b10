// diff: writes the lines in which two files differ. Status 0 if there are none, 1 if there are, 2 after an
// error.
#include <stdint.h>

#include "user/bin/common.h"

// The table of the longest common subsequence takes a cell for each pair of lines that differ; beyond
// this many the whole stretch counts as changed, which is correct though not the shortest answer.
enum { kMostCells = 16 << 20 };

struct File {
  const char* path;
  char** lines;
  size_t count;
};

static bool quiet;
static bool ignore_blanks;
static bool differ;

static void read_file(struct File* file, const char* path) {
  file->path = path;
  FILE* input = open_input(path);
  if (input == NULL) exit(2);
  size_t capacity = 0;
  char* line = NULL;
  size_t line_capacity = 0;
  ssize_t length;
  while ((length = getline(&line, &line_capacity, input)) >= 0) {
    if (length > 0 && line[length - 1] == '\n') line[length - 1] = '\0';
    if (file->count == capacity) {
      capacity = capacity ? capacity * 2 : 256;
      file->lines = reallocate(file->lines, capacity * sizeof *file->lines);
    }
    file->lines[file->count++] = duplicate_string(line);
  }
  free(line);
  if (!check_input(input, path)) exit(2);
  close_input(input);
}

static bool same_line(const char* a, const char* b) {
  if (!ignore_blanks) return strcmp(a, b) == 0;
  for (;;) {
    a += strspn(a, " \t");
    b += strspn(b, " \t");
    if (*a != *b) return false;
    if (*a == '\0') return true;
    a++;
    b++;
  }
}

static void print_range(size_t first, size_t count) {
  if (count == 0) {
    printf("%zu", first);  // after this line
  } else if (count == 1) {
    printf("%zu", first + 1);
  } else {
    printf("%zu,%zu", first + 1, first + count);
  }
}

static void print_change(const struct File* a, size_t a_first, size_t a_count, const struct File* b,
                         size_t b_first, size_t b_count) {
  if (a_count == 0 && b_count == 0) return;
  differ = true;
  if (quiet) return;
  print_range(a_first, a_count);
  putchar(a_count == 0 ? 'a' : b_count == 0 ? 'd' : 'c');
  print_range(b_first, b_count);
  putchar('\n');
  for (size_t i = 0; i < a_count; i++) printf("< %s\n", a->lines[a_first + i]);
  if (a_count > 0 && b_count > 0) puts("---");
  for (size_t i = 0; i < b_count; i++) printf("> %s\n", b->lines[b_first + i]);
}

// lengths[i][j]: the longest common subsequence of the lines from i and j to the ends of the stretch.
static uint32_t* common_lengths(const struct File* a, size_t a_first, size_t rows, const struct File* b,
                                size_t b_first, size_t columns) {
  size_t width = columns + 1;
  uint32_t* lengths = allocate((rows + 1) * width * sizeof *lengths);
  for (size_t j = 0; j <= columns; j++) lengths[rows * width + j] = 0;
  for (size_t i = rows; i-- > 0;) {
    lengths[i * width + columns] = 0;
    for (size_t j = columns; j-- > 0;) {
      uint32_t down = lengths[(i + 1) * width + j];
      uint32_t right = lengths[i * width + j + 1];
      bool same = same_line(a->lines[a_first + i], b->lines[b_first + j]);
      lengths[i * width + j] = same ? lengths[(i + 1) * width + j + 1] + 1 : down > right ? down : right;
    }
  }
  return lengths;
}

static void compare_stretch(const struct File* a, size_t a_first, size_t rows, const struct File* b,
                            size_t b_first, size_t columns) {
  if (rows != 0 && columns != 0 && rows > kMostCells / columns) {
    print_change(a, a_first, rows, b, b_first, columns);
    return;
  }
  uint32_t* lengths = common_lengths(a, a_first, rows, b, b_first, columns);
  size_t width = columns + 1;
  size_t i = 0;
  size_t j = 0;
  while (i < rows || j < columns) {
    size_t a_start = i;
    size_t b_start = j;
    while (i < rows || j < columns) {
      if (i < rows && j < columns && same_line(a->lines[a_first + i], b->lines[b_first + j])) break;
      if (j == columns || (i < rows && lengths[(i + 1) * width + j] >= lengths[i * width + j + 1])) {
        i++;
      } else {
        j++;
      }
    }
    print_change(a, a_first + a_start, i - a_start, b, b_first + b_start, j - b_start);
    while (i < rows && j < columns && same_line(a->lines[a_first + i], b->lines[b_first + j])) {
      i++;
      j++;
    }
  }
  free(lengths);
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "qw")) != -1) {
    if (option == '?') usage("diff [-qw] file1 file2");
    if (option == 'q') quiet = true;
    if (option == 'w') ignore_blanks = true;
  }
  if (argc - optind != 2) usage("diff [-qw] file1 file2");
  struct File a = {0};
  struct File b = {0};
  read_file(&a, argv[optind]);
  read_file(&b, argv[optind + 1]);
  size_t shorter = a.count < b.count ? a.count : b.count;
  size_t head = 0;
  while (head < shorter && same_line(a.lines[head], b.lines[head])) head++;
  size_t tail = 0;
  while (tail < shorter - head && same_line(a.lines[a.count - 1 - tail], b.lines[b.count - 1 - tail])) tail++;
  compare_stretch(&a, head, a.count - head - tail, &b, head, b.count - head - tail);
  if (quiet && differ) printf("%s and %s differ\n", a.path, b.path);
  return finish_output(differ ? 1 : 0);
}
