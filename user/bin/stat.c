// stat: writes what the file system knows of files.
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "user/bin/common.h"
#include "user/bin/file_mode.h"
#include "user/bin/passwd.h"

static const char* type_name(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symbolic link";
    case S_IFCHR:
      return "character device";
    case S_IFBLK:
      return "block device";
    case S_IFIFO:
      return "pipe";
    case S_IFSOCK:
      return "socket";
    default:
      return "regular file";
  }
}

static void print_time(const char* name, struct timespec when) {
  char text[64];
  struct tm broken;
  if (localtime_r(&when.tv_sec, &broken) == NULL ||
      strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &broken) == 0) {
    snprintf(text, sizeof text, "%lld", (long long)when.tv_sec);
  }
  printf("%s: %s.%09ld\n", name, text, when.tv_nsec);
}

static void print_all(const char* path, const struct stat* status) {
  char mode[11];
  format_mode(status->st_mode, mode);
  printf("  File: %s\n", path);
  printf("  Size: %-12lld Blocks: %-8lld IO Block: %-6ld %s\n", (long long)status->st_size,
         (long long)status->st_blocks, (long)status->st_blksize, type_name(status->st_mode));
  printf("Device: %u,%u  Inode: %llu  Links: %lu", major(status->st_dev), minor(status->st_dev),
         (unsigned long long)status->st_ino, (unsigned long)status->st_nlink);
  if (S_ISCHR(status->st_mode) || S_ISBLK(status->st_mode)) {
    printf("  Device type: %u,%u", major(status->st_rdev), minor(status->st_rdev));
  }
  printf("\nAccess: (%04o/%s)", (unsigned)(status->st_mode & 07777), mode);
  printf("  Uid: (%u/%s)", (unsigned)status->st_uid, user_name(status->st_uid));
  printf("  Gid: (%u/%s)\n", (unsigned)status->st_gid, group_name(status->st_gid));
  print_time("Access", status->st_atim);
  print_time("Modify", status->st_mtim);
  print_time("Change", status->st_ctim);
}

static void print_item(char letter, const char* path, const struct stat* status) {
  char mode[11];
  switch (letter) {
    case 'A':
      format_mode(status->st_mode, mode), fputs(mode, stdout);
      break;
    case 'F':
      fputs(type_name(status->st_mode), stdout);
      break;
    case 'U':
      fputs(user_name(status->st_uid), stdout);
      break;
    case 'G':
      fputs(group_name(status->st_gid), stdout);
      break;
    case 'X':
      printf("%lld", (long long)status->st_atime);
      break;
    case 'Y':
      printf("%lld", (long long)status->st_mtime);
      break;
    case 'Z':
      printf("%lld", (long long)status->st_ctime);
      break;
    case 'a':
      printf("%o", (unsigned)(status->st_mode & 07777));
      break;
    case 'b':
      printf("%lld", (long long)status->st_blocks);
      break;
    case 'd':
      printf("%llu", (unsigned long long)status->st_dev);
      break;
    case 'g':
      printf("%u", (unsigned)status->st_gid);
      break;
    case 'h':
      printf("%lu", (unsigned long)status->st_nlink);
      break;
    case 'i':
      printf("%llu", (unsigned long long)status->st_ino);
      break;
    case 'n':
      fputs(path, stdout);
      break;
    case 's':
      printf("%lld", (long long)status->st_size);
      break;
    case 'u':
      printf("%u", (unsigned)status->st_uid);
      break;
    case '%':
      putchar('%');
      break;
    default:
      errx(kUsageError, "%%%c: unknown format", letter);
  }
}

static void print_format(const char* format, const char* path, const struct stat* status) {
  for (; *format != '\0'; format++) {
    if (*format == '%' && format[1] != '\0') {
      print_item(*++format, path, status);
    } else {
      putchar(*format);
    }
  }
  putchar('\n');
}

int main(int argc, char** argv) {
  bool follow = false;
  const char* format = NULL;
  int option;
  while ((option = getopt(argc, argv, "Lc:")) != -1) {
    if (option == '?') usage("stat [-L] [-c format] file...");
    if (option == 'L') follow = true;
    if (option == 'c') format = optarg;
  }
  if (optind >= argc) usage("stat [-L] [-c format] file...");
  int result = 0;
  for (int i = optind; i < argc; i++) {
    struct stat status;
    if ((follow ? stat(argv[i], &status) : lstat(argv[i], &status)) < 0) {
      warn("%s", argv[i]);
      result = 1;
    } else if (format != NULL) {
      print_format(format, argv[i], &status);
    } else {
      print_all(argv[i], &status);
    }
  }
  return finish_output(result);
}
