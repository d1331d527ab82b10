// Names of users and groups, straight from /etc/passwd and /etc/group: a static program has no NSS.
#pragma once

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/types.h>

// The name in a static buffer; the number if it has none.
static inline const char* user_name(uid_t uid) {
  static char name[64];
  snprintf(name, sizeof name, "%u", (unsigned)uid);
  FILE* file = fopen("/etc/passwd", "r");
  if (file == NULL) return name;
  for (struct passwd* entry; (entry = fgetpwent(file)) != NULL;) {
    if (entry->pw_uid != uid) continue;
    snprintf(name, sizeof name, "%s", entry->pw_name);
    break;
  }
  fclose(file);
  return name;
}

static inline const char* group_name(gid_t gid) {
  static char name[64];
  snprintf(name, sizeof name, "%u", (unsigned)gid);
  FILE* file = fopen("/etc/group", "r");
  if (file == NULL) return name;
  for (struct group* entry; (entry = fgetgrent(file)) != NULL;) {
    if (entry->gr_gid != gid) continue;
    snprintf(name, sizeof name, "%s", entry->gr_name);
    break;
  }
  fclose(file);
  return name;
}
