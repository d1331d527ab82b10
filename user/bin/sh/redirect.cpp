#include "user/bin/sh/redirect.hpp"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "user/bin/sh/expand.hpp"

namespace faultline::sh {
namespace {

// What to put in the place of a descriptor: a new descriptor, an existing one, or nothing.
struct Replacement {
  bool ok = false;
  bool owned = false;  // to be closed once it is in place
  int fd = -1;         // -1: close the target
};

Replacement failed(const std::string& subject, int error) {
  complain(subject, error);
  return {};
}

// A pipe holds at least this much, so writing it cannot block for want of a reader.
constexpr size_t kPipeAtLeast = 4096;

Replacement open_here_document(const std::string& text) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return failed("here-document", errno);
  if (text.size() > kPipeAtLeast) {
    // Nobody reads until the command runs, so another process does the writing.
    pid_t writer = fork();
    if (writer == 0) {
      close(ends[0]);
      write_all(ends[1], text.data(), text.size());
      _exit(0);
    }
    if (writer < 0) {
      Replacement result = failed("fork", errno);
      close(ends[0]);
      close(ends[1]);
      return result;
    }
  } else {
    write_all(ends[1], text.data(), text.size());
  }
  close(ends[1]);
  return {true, true, ends[0]};
}

Replacement duplicate(const std::string& target) {
  if (target == "-") return {true, false, -1};
  if (target.empty() || target.size() > 4 || target.find_first_not_of("0123456789") != std::string::npos) {
    complain(target + ": not a descriptor");
    return {};
  }
  int fd = atoi(target.c_str());
  if (fcntl(fd, F_GETFD) < 0) return failed(target, EBADF);
  return {true, false, fd};
}

Replacement open_file(Redirection::Kind kind, const std::string& path) {
  int flags = O_RDONLY;
  if (kind == Redirection::Kind::Write || kind == Redirection::Kind::WriteBoth)
    flags = O_WRONLY | O_CREAT | O_TRUNC;
  if (kind == Redirection::Kind::Append) flags = O_WRONLY | O_CREAT | O_APPEND;
  if (kind == Redirection::Kind::ReadWrite) flags = O_RDWR | O_CREAT;
  int fd = open(path.c_str(), flags | O_CLOEXEC, 0666);
  return fd < 0 ? failed(path, errno) : Replacement{true, true, fd};
}

Replacement open_replacement(Shell& shell, const Redirection& redirection) {
  std::string target = expand_string(shell, *redirection.target);
  if (shell.stopping()) return {};
  if (redirection.kind == Redirection::Kind::HereDocument) return open_here_document(target);
  if (redirection.kind == Redirection::Kind::Duplicate) return duplicate(target);
  return open_file(redirection.kind, target);
}

bool put_in_place(int fd, const Replacement& replacement) {
  if (replacement.fd < 0) {
    close(fd);
    return true;
  }
  if (replacement.fd == fd) {
    fcntl(fd, F_SETFD, 0);  // it was opened close-on-exec, and dup2 would not change that
    return true;
  }
  return dup2(replacement.fd, fd) >= 0;
}

// `before` may save the descriptor that is about to be replaced.
template <typename Before>
bool redirect(Shell& shell, const Redirection& redirection, Before before) {
  Replacement replacement = open_replacement(shell, redirection);
  if (!replacement.ok) return false;
  bool ok = before(redirection.fd, replacement) && put_in_place(redirection.fd, replacement);
  if (ok && redirection.kind == Redirection::Kind::WriteBoth) {
    Replacement same{true, false, redirection.fd};
    ok = before(STDERR_FILENO, same) && put_in_place(STDERR_FILENO, same);
  }
  if (!ok) complain(std::to_string(redirection.fd), errno);
  if (replacement.owned && replacement.fd != redirection.fd) close(replacement.fd);
  return ok;
}

}  // namespace

void move_descriptor(int from, int to) {
  if (from == to) {
    fcntl(to, F_SETFD, 0);
  } else {
    dup2(from, to);
    close(from);
  }
}

RedirectionScope::~RedirectionScope() {
  for (auto saved = saved_.rbegin(); saved != saved_.rend(); ++saved) {
    if (saved->second < 0) {
      close(saved->first);
    } else {
      dup2(saved->second, saved->first);
      close(saved->second);
    }
  }
}

bool RedirectionScope::apply(const std::vector<Redirection>& redirections) {
  auto save = [this](int fd, const Replacement& replacement) {
    if (replacement.owned && replacement.fd == fd) {
      saved_.emplace_back(fd, -1);  // the file took the place of a closed descriptor
      return true;
    }
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, kFirstPrivateFd);
    if (copy < 0 && errno != EBADF) return false;
    saved_.emplace_back(fd, copy);
    return true;
  };
  for (const Redirection& redirection : redirections) {
    if (!redirect(shell_, redirection, save)) return false;
  }
  return true;
}

void RedirectionScope::keep() {
  for (const auto& [fd, copy] : saved_) {
    if (copy >= 0) close(copy);
  }
  saved_.clear();
}

bool redirect_for_good(Shell& shell, const std::vector<Redirection>& redirections) {
  auto save_nothing = [](int, const Replacement&) { return true; };
  for (const Redirection& redirection : redirections) {
    if (!redirect(shell, redirection, save_nothing)) return false;
  }
  return true;
}

}  // namespace faultline::sh
