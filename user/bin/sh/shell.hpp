// The state of one shell process.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "user/bin/sh/jobs.hpp"
#include "user/bin/sh/syntax.hpp"
#include "user/bin/sh/variables.hpp"

namespace faultline::sh {

// Exit statuses with a fixed meaning in the shell language.
constexpr int kUsageError = 2;
constexpr int kCannotExecute = 126;
constexpr int kNotFound = 127;
constexpr int kSignalBase = 128;

// What the command that just ended asks of those around it.
enum class Flow {
  Normal,
  Break,     // leave `levels` loops
  Continue,  // leave `levels - 1` loops, go on with the next
  Return,    // leave the function or the sourced file
  Abandon,   // give the whole command up: Ctrl-C, or an error that POSIX calls fatal
  Exit,
};

struct Options {
  bool interactive = false;
  bool exit_on_error = false;   // -e
  bool no_globbing = false;     // -f
  bool no_execution = false;    // -n
  bool unset_is_error = false;  // -u
  bool trace = false;           // -x
};

struct Shell {
  // Compound commands, functions, `eval` and `.` may contain each other up to this many times.
  static constexpr int kMaxDepth = 300;

  Variables variables;
  std::map<std::string, std::shared_ptr<Command>, std::less<>> functions;
  std::string name = "sh";             // $0
  std::vector<std::string> arguments;  // $1 …
  Options options;
  Jobs jobs;
  pid_t pid = 0;              // $$, the same in subshells
  pid_t last_background = 0;  // $!
  int last_status = 0;        // $?
  bool subshell = false;

  Flow flow = Flow::Normal;
  int flow_levels = 0;
  int loops = 0;             // that enclose the present command
  int functions_active = 0;  // functions and sourced files that can be returned from
  int conditions = 0;        // `if`, `while`, `&&`, `||` and `!` around the present command: -e is off
  int depth = 0;
  unsigned substitutions = 0;  // command substitutions so far
  // The variables that `local` hid, for each active function.
  std::vector<std::vector<std::pair<std::string, Variable>>> hidden;

  // Gives the present command up with a status: an interactive shell goes back to its prompt, any
  // other one ends.
  void abandon(int status) {
    last_status = status;
    flow = options.interactive && !subshell ? Flow::Abandon : Flow::Exit;
  }
  bool stopping() const { return flow != Flow::Normal; }
};

// Writes "sh: MESSAGE" as one line to standard error.
void complain(const std::string& message);
// The same with the text of an errno value after it.
void complain(const std::string& subject, int error);
// False with errno set if not everything could be written.
bool write_all(int fd, const char* data, size_t size);

}  // namespace faultline::sh
