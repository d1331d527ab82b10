#include "user/bin/sh/glob.hpp"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "user/bin/pattern.h"
#include "user/bin/sh/signals.hpp"

namespace faultline::sh {
namespace {

bool has_wildcard(std::string_view pattern) {
  for (size_t i = 0; i < pattern.size(); i++) {
    if (pattern[i] == '\\') {
      i++;
      continue;
    }
    bool bracket = pattern[i] == '[' && pattern.find(']', i) != pattern.npos;
    if (pattern[i] == '*' || pattern[i] == '?' || bracket) return true;
  }
  return false;
}

std::string unescape(std::string_view pattern) {
  std::string text;
  for (size_t i = 0; i < pattern.size(); i++) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) i++;
    text.push_back(pattern[i]);
  }
  return text;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

std::vector<std::string> matching_entries(const std::string& directory, const std::string& pattern) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, CloseDirectory> open(opendir(directory.empty() ? "." : directory.c_str()));
  if (!open) return names;
  bool wants_dot = pattern.starts_with(".") || pattern.starts_with("\\.");
  while (dirent* entry = readdir(open.get())) {
    if (entry->d_name[0] == '.' && !wants_dot) continue;
    if (match_pattern(pattern.c_str(), entry->d_name)) names.emplace_back(entry->d_name);
  }
  return names;
}

// Extends `prefix`, an existing path, by what is left of the pattern. The recursion is as deep as the
// pattern has components, and that is limited by glob().
void match_rest(const std::string& prefix, std::string_view pattern, std::vector<std::string>& found) {
  if (interrupt_pending()) return;
  size_t slashes = std::min(pattern.find_first_not_of('/'), pattern.size());
  std::string path = prefix + std::string(pattern.substr(0, slashes));
  pattern.remove_prefix(slashes);
  if (pattern.empty()) {
    struct stat status;
    if (lstat(path.c_str(), &status) == 0) found.push_back(std::move(path));
    return;
  }
  std::string component(pattern.substr(0, pattern.find('/')));
  std::string_view rest = pattern.substr(component.size());
  if (!has_wildcard(component)) return match_rest(path + unescape(component), rest, found);
  for (const std::string& name : matching_entries(path, component)) match_rest(path + name, rest, found);
}

}  // namespace

std::vector<std::string> glob(const std::string& pattern) {
  std::vector<std::string> found;
  if (pattern.size() > PATH_MAX) return found;
  match_rest("", pattern, found);
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace faultline::sh
