#include "user/bin/sh/builtins.hpp"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "user/bin/sh/execute.hpp"
#include "user/bin/sh/main.hpp"

namespace faultline::sh {
namespace {

using Fields = std::vector<std::string>;

int builtin_true(Shell&, const Fields&) { return 0; }

int builtin_false(Shell&, const Fields&) { return 1; }

// The optional number after exit, return, break and continue; false, with the reason reported, if it is none.
bool optional_number(const Fields& fields, int otherwise, int least, int& number) {
  number = otherwise;
  if (fields.size() < 2) return true;
  if (fields.size() == 2 && parse_number(fields[1], number) && number >= least) return true;
  complain(fields[0] + ": " + fields[1] + ": not a number that fits");
  return false;
}

int builtin_exit(Shell& shell, const Fields& fields) {
  int status;
  if (!optional_number(fields, shell.last_status, 0, status)) status = kUsageError;
  shell.last_status = status & 0xff;
  shell.flow = Flow::Exit;
  return shell.last_status;
}

int builtin_return(Shell& shell, const Fields& fields) {
  int status;
  if (!optional_number(fields, shell.last_status, 0, status)) return kUsageError;
  if (shell.functions_active == 0) {
    complain("return: not in a function or a sourced file");
    return kUsageError;
  }
  shell.last_status = status & 0xff;
  shell.flow = Flow::Return;
  return shell.last_status;
}

int leave_loops(Shell& shell, const Fields& fields, Flow flow) {
  int levels;
  if (!optional_number(fields, 1, 1, levels)) return kUsageError;
  if (shell.loops == 0) {
    complain(fields[0] + ": not in a loop");
    return 1;
  }
  shell.flow = flow;
  shell.flow_levels = levels < shell.loops ? levels : shell.loops;
  shell.last_status = 0;
  return 0;
}

int builtin_break(Shell& shell, const Fields& fields) { return leave_loops(shell, fields, Flow::Break); }

int builtin_continue(Shell& shell, const Fields& fields) {
  return leave_loops(shell, fields, Flow::Continue);
}

int execute_nested(Shell& shell, Source& source) {
  if (shell.depth >= Shell::kMaxDepth) {
    complain("commands nested too deeply");
    shell.abandon(kUsageError);
    return kUsageError;
  }
  shell.depth++;
  shell.last_status = 0;
  int status = execute_source(shell, source);
  shell.depth--;
  return status;
}

int builtin_eval(Shell& shell, const Fields& fields) {
  std::string text;
  for (size_t i = 1; i < fields.size(); i++) text += (i > 1 ? " " : "") + fields[i];
  Source source(std::move(text));
  return execute_nested(shell, source);
}

int builtin_source(Shell& shell, const Fields& fields) {
  if (fields.size() < 2) {
    complain("usage: " + fields[0] + " file");
    return kUsageError;
  }
  std::string path = fields[1];
  if (path.find('/') == std::string::npos && access(path.c_str(), R_OK) != 0) {
    std::string found = find_program(shell, path);
    if (!found.empty()) path = std::move(found);
  }
  std::string text;
  if (!read_script(path, text)) return 1;
  Source source(std::move(text));
  shell.functions_active++;
  int status = execute_nested(shell, source);
  shell.functions_active--;
  if (shell.flow == Flow::Return) shell.flow = Flow::Normal;
  return status;
}

// `command -v name`, `type name`: what a name means.
int describe(Shell& shell, const std::string& name, bool verbose) {
  std::string line;
  if (shell.functions.contains(name)) {
    line = verbose ? name + " is a function" : name;
  } else if (find_builtin(name) || name == "exec") {
    line = verbose ? name + " is a shell builtin" : name;
  } else {
    std::string path = find_program(shell, name);
    if (path.empty() || access(path.c_str(), X_OK) != 0) {
      if (verbose) complain(name + ": not found");
      return kNotFound;
    }
    line = verbose ? name + " is " + path : path;
  }
  line += '\n';
  return write_all(STDOUT_FILENO, line.data(), line.size()) ? 0 : 1;
}

int builtin_type(Shell& shell, const Fields& fields) {
  int status = 0;
  for (size_t i = 1; i < fields.size(); i++) {
    int one = describe(shell, fields[i], true);
    if (one != 0) status = one;
  }
  return status;
}

// Runs a command, functions aside.
int builtin_command(Shell& shell, const Fields& fields) {
  if (fields.size() < 2) return 0;
  if (fields[1] == "-v" || fields[1] == "-V") {
    return fields.size() < 3 ? kUsageError : describe(shell, fields[2], fields[1] == "-V");
  }
  Fields rest(fields.begin() + 1, fields.end());
  if (Builtin builtin = find_builtin(rest[0])) return builtin(shell, rest);
  Job& job = shell.jobs.add(rest[0]);
  pid_t pid = fork_process(shell, job, Placement::Foreground);
  if (pid == 0) exit_child(shell, become_program(shell, rest));
  if (pid < 0) {
    shell.jobs.discard(job);
    return kUsageError;
  }
  return shell.jobs.wait_foreground(job);
}

struct Entry {
  std::string_view name;
  Builtin function;
};

constexpr Entry kBuiltins[] = {
    {".", builtin_source},        {":", builtin_true},
    {"[", builtin_test},          {"bg", builtin_bg},
    {"break", builtin_break},     {"cd", builtin_cd},
    {"command", builtin_command}, {"continue", builtin_continue},
    {"echo", builtin_echo},       {"eval", builtin_eval},
    {"exit", builtin_exit},       {"export", builtin_export},
    {"false", builtin_false},     {"fg", builtin_fg},
    {"jobs", builtin_jobs},       {"kill", builtin_kill},
    {"local", builtin_local},     {"pwd", builtin_pwd},
    {"read", builtin_read},       {"readonly", builtin_readonly},
    {"return", builtin_return},   {"set", builtin_set},
    {"shift", builtin_shift},     {"source", builtin_source},
    {"test", builtin_test},       {"true", builtin_true},
    {"type", builtin_type},       {"umask", builtin_umask},
    {"unset", builtin_unset},     {"wait", builtin_wait},
};

}  // namespace

Builtin find_builtin(std::string_view name) {
  for (const Entry& entry : kBuiltins) {
    if (entry.name == name) return entry.function;
  }
  return nullptr;
}

bool parse_number(std::string_view text, int& number) {
  bool negative = text.starts_with("-");
  if (negative) text.remove_prefix(1);
  if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != text.npos) return false;
  number = 0;
  for (char digit : text) number = number * 10 + (digit - '0');
  if (negative) number = -number;
  return true;
}

}  // namespace faultline::sh
