// Directories, read as a whole: a walk of a deep tree then holds no descriptors open.
#pragma once

#include <dirent.h>

#include "user/bin/common.h"

struct NameList {
  char** names;
  size_t count;
};

static inline int compare_names(const void* a, const void* b) {
  return strcmp(*(char* const*)a, *(char* const*)b);
}

static inline void free_names(struct NameList* list) {
  for (size_t i = 0; i < list->count; i++) free(list->names[i]);
  free(list->names);
  list->names = NULL;
  list->count = 0;
}

// Reads the names in a directory in alphabetical order, without "." and "..". False with errno set.
static inline bool read_directory(const char* path, struct NameList* list) {
  list->names = NULL;
  list->count = 0;
  size_t capacity = 0;
  DIR* directory = opendir(path);
  if (directory == NULL) return false;
  for (;;) {
    errno = 0;
    struct dirent* entry = readdir(directory);
    if (entry == NULL) break;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (list->count == capacity) {
      capacity = capacity ? capacity * 2 : 32;
      list->names = (char**)reallocate(list->names, capacity * sizeof *list->names);
    }
    list->names[list->count++] = duplicate_string(entry->d_name);
  }
  int error = errno;
  closedir(directory);
  if (error != 0) free_names(list);
  if (list->count > 1) qsort(list->names, list->count, sizeof *list->names, compare_names);
  errno = error;
  return error == 0;
}
