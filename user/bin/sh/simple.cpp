#include "user/bin/sh/simple.hpp"

#include <unistd.h>

#include <string>
#include <utility>

#include "user/bin/sh/builtins.hpp"
#include "user/bin/sh/execute.hpp"
#include "user/bin/sh/expand.hpp"
#include "user/bin/sh/redirect.hpp"

namespace faultline::sh {
namespace {

using Assignments = std::vector<std::pair<std::string, std::string>>;

bool expand_assignments(Shell& shell, const SimpleCommand& command, Assignments& assignments) {
  for (const Assignment& assignment : command.assignments) {
    std::string value = expand_string(shell, assignment.value);
    if (shell.stopping()) return false;
    assignments.emplace_back(assignment.name, std::move(value));
    // Later ones may use earlier ones only where there is no command: x=1 y=$x.
    if (command.words.empty() && !shell.variables.set(assignment.name, assignments.back().second)) {
      shell.abandon(kUsageError);
      return false;
    }
  }
  return true;
}

// NAME=value before a builtin or a function: in force while it runs.
class TemporaryAssignments {
 public:
  TemporaryAssignments(Shell& shell, Assignments assignments) : shell_(shell) {
    for (auto& [name, value] : assignments) {
      saved_.emplace_back(name, shell_.variables.save(name));
      ok_ = ok_ && shell_.variables.set(name, std::move(value));
      shell_.variables.set_exported(name, true);
    }
  }
  TemporaryAssignments(const TemporaryAssignments&) = delete;
  TemporaryAssignments& operator=(const TemporaryAssignments&) = delete;
  ~TemporaryAssignments() {
    for (auto saved = saved_.rbegin(); saved != saved_.rend(); ++saved) {
      shell_.variables.restore(saved->first, std::move(saved->second));
    }
  }
  bool ok() const { return ok_; }

 private:
  Shell& shell_;
  std::vector<std::pair<std::string, Variable>> saved_;
  bool ok_ = true;
};

// `exec`: its redirections stay, its program replaces the shell.
int execute_exec(Shell& shell, std::vector<std::string> fields, RedirectionScope& scope) {
  scope.keep();
  fields.erase(fields.begin());
  if (fields.empty()) return 0;
  int status = become_program(shell, fields);
  shell.abandon(status);
  return status;
}

int execute_inside(Shell& shell, std::vector<std::string> fields, Assignments assignments,
                   const std::vector<Redirection>& redirections) {
  RedirectionScope scope(shell);
  if (!scope.apply(redirections)) return shell.stopping() ? shell.last_status : 1;
  TemporaryAssignments temporary(shell, std::move(assignments));
  if (!temporary.ok()) return kUsageError;
  if (fields[0] == "exec") return execute_exec(shell, std::move(fields), scope);
  auto function = shell.functions.find(fields[0]);
  if (function != shell.functions.end()) {
    std::shared_ptr<Command> body = function->second;
    fields.erase(fields.begin());
    return call_function(shell, *body, std::move(fields));
  }
  return find_builtin(fields[0])(shell, fields);
}

// In a child: becomes the program, or returns the status that says why not.
int become_redirected_program(Shell& shell, const std::vector<std::string>& fields, Assignments assignments,
                              const std::vector<Redirection>& redirections) {
  if (!redirect_for_good(shell, redirections)) return 1;
  for (auto& [name, value] : assignments) {
    if (!shell.variables.set(name, std::move(value))) return kUsageError;
    shell.variables.set_exported(name, true);
  }
  return become_program(shell, fields);
}

int execute_program(Shell& shell, const std::vector<std::string>& fields, Assignments assignments,
                    const std::vector<Redirection>& redirections) {
  std::string text;
  for (const std::string& field : fields) text += (text.empty() ? "" : " ") + field;
  Job& job = shell.jobs.add(std::move(text));
  pid_t pid = fork_process(shell, job, Placement::Foreground);
  if (pid == 0) {
    exit_child(shell, become_redirected_program(shell, fields, std::move(assignments), redirections));
  }
  if (pid < 0) {
    shell.jobs.discard(job);
    return kUsageError;
  }
  return shell.jobs.wait_foreground(job);
}

void trace(const Assignments& assignments, const std::vector<std::string>& fields) {
  std::string line = "+";
  for (const auto& [name, value] : assignments) line.append(" ").append(name).append("=").append(value);
  for (const std::string& field : fields) line += " " + field;
  line += "\n";
  write_all(STDERR_FILENO, line.data(), line.size());
}

// Whether a program may take the place of the present process.
enum class Replacing { No, Yes };

int execute(Shell& shell, const SimpleCommand& command, const std::vector<Redirection>& redirections,
            Replacing replacing) {
  unsigned substitutions = shell.substitutions;
  std::vector<std::string> fields;
  for (const Word& word : command.words) {
    expand_fields(shell, word, fields);
    if (shell.stopping()) return shell.last_status;
  }
  Assignments assignments;
  if (!expand_assignments(shell, command, assignments)) return shell.last_status;
  if (shell.options.trace) trace(assignments, fields);
  if (fields.empty()) {
    RedirectionScope scope(shell);
    if (!scope.apply(redirections)) return shell.stopping() ? shell.last_status : 1;
    return shell.substitutions == substitutions ? 0 : shell.last_status;
  }
  if (shell.functions.contains(fields[0]) || find_builtin(fields[0]) || fields[0] == "exec") {
    return execute_inside(shell, std::move(fields), std::move(assignments), redirections);
  }
  if (replacing == Replacing::Yes) {
    return become_redirected_program(shell, fields, std::move(assignments), redirections);
  }
  return execute_program(shell, fields, std::move(assignments), redirections);
}

}  // namespace

int execute_simple(Shell& shell, const SimpleCommand& command, const std::vector<Redirection>& redirections) {
  return execute(shell, command, redirections, Replacing::No);
}

int execute_last_command(Shell& shell, const Command& command) {
  if (const auto* simple = std::get_if<SimpleCommand>(&command.body)) {
    return execute(shell, *simple, command.redirections, Replacing::Yes);
  }
  return execute_command(shell, command);
}

}  // namespace faultline::sh
