// File modes as `ls -l` and `stat` write them.
#pragma once

#include <sys/stat.h>

static inline char file_type_letter(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return 'd';
    case S_IFLNK:
      return 'l';
    case S_IFCHR:
      return 'c';
    case S_IFBLK:
      return 'b';
    case S_IFIFO:
      return 'p';
    case S_IFSOCK:
      return 's';
    default:
      return '-';
  }
}

// Writes "drwxr-xr-x" and its NUL.
static inline void format_mode(mode_t mode, char text[11]) {
  static const char kLetters[] = "rwxrwxrwx";
  text[0] = file_type_letter(mode);
  for (int i = 0; i < 9; i++) text[1 + i] = mode & (0400U >> i) ? kLetters[i] : '-';
  if (mode & S_ISUID) text[3] = mode & S_IXUSR ? 's' : 'S';
  if (mode & S_ISGID) text[6] = mode & S_IXGRP ? 's' : 'S';
  if (mode & S_ISVTX) text[9] = mode & S_IXOTH ? 't' : 'T';
  text[10] = '\0';
}
