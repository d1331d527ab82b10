// Redirections, and putting the descriptors back afterwards.
#pragma once

#include <utility>
#include <vector>

#include "user/bin/sh/shell.hpp"
#include "user/bin/sh/syntax.hpp"

namespace faultline::sh {

// Descriptors from here on are the shell's own: the terminal, the script, saved descriptors.
constexpr int kFirstPrivateFd = 10;

// Applies redirections in the shell's own process; its end restores what they replaced.
class RedirectionScope {
 public:
  explicit RedirectionScope(Shell& shell) : shell_(shell) {}
  RedirectionScope(const RedirectionScope&) = delete;
  RedirectionScope& operator=(const RedirectionScope&) = delete;
  ~RedirectionScope();

  // False, with the reason reported, if one fails; those before it are in force until the end of the scope.
  bool apply(const std::vector<Redirection>& redirections);
  // Leaves them in force for good (`exec >file`).
  void keep();

 private:
  bool replace(int fd, int replacement);

  Shell& shell_;
  std::vector<std::pair<int, int>> saved_;  // descriptor, its private copy (-1: it was closed)
};

// Makes `to` what `from` is, closes `from`, and lets programs inherit `to`.
void move_descriptor(int from, int to);

// Applies redirections in a child that is about to become another program.
bool redirect_for_good(Shell& shell, const std::vector<Redirection>& redirections);

}  // namespace faultline::sh
