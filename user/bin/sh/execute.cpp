#include "user/bin/sh/execute.hpp"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <utility>

#include "user/bin/pattern.h"
#include "user/bin/sh/expand.hpp"
#include "user/bin/sh/parser.hpp"
#include "user/bin/sh/redirect.hpp"
#include "user/bin/sh/signals.hpp"
#include "user/bin/sh/simple.hpp"

namespace faultline::sh {
namespace {

int execute_pipeline_processes(Shell& shell, const Pipeline& pipeline, Job& job, Placement placement);

// While it lives, a failing command does not end a shell with -e.
class ConditionScope {
 public:
  ConditionScope(Shell& shell, bool active) : shell_(shell), active_(active) { shell_.conditions += active_; }
  ConditionScope(const ConditionScope&) = delete;
  ConditionScope& operator=(const ConditionScope&) = delete;
  ~ConditionScope() { shell_.conditions -= active_; }

 private:
  Shell& shell_;
  int active_;
};

int execute_condition(Shell& shell, const List& list) {
  ConditionScope scope(shell, true);
  return execute_list(shell, list);
}

// A loop's share of `break` and `continue`; true if the loop goes on.
bool continue_loop(Shell& shell) {
  if (shell.flow == Flow::Normal) return true;
  if (shell.flow != Flow::Break && shell.flow != Flow::Continue) return false;
  if (--shell.flow_levels > 0) return false;
  return std::exchange(shell.flow, Flow::Normal) == Flow::Continue;
}

// A loop whose body is empty of commands that notice Ctrl-C has to notice it itself.
bool stop_for_interrupt(Shell& shell) {
  if (!interrupt_pending() || shell.stopping()) return shell.stopping();
  shell.abandon(kSignalBase + SIGINT);
  return true;
}

int execute_if(Shell& shell, const If& node) {
  for (const If::Branch& branch : node.branches) {
    int status = execute_condition(shell, *branch.condition);
    if (shell.stopping()) return status;
    if (status == 0) return execute_list(shell, *branch.body);
  }
  return node.otherwise ? execute_list(shell, *node.otherwise) : 0;
}

int execute_loop(Shell& shell, const Loop& node) {
  int status = 0;
  shell.loops++;
  for (;;) {
    int condition = execute_condition(shell, *node.condition);
    if (!continue_loop(shell)) break;
    if ((condition == 0) == node.until) break;
    status = execute_list(shell, *node.body);
    if (!continue_loop(shell) || stop_for_interrupt(shell)) break;
  }
  shell.loops--;
  return shell.stopping() ? shell.last_status : status;
}

int execute_for(Shell& shell, const For& node) {
  std::vector<std::string> values;
  if (node.over_arguments) values = shell.arguments;
  for (const Word& word : node.words) {
    expand_fields(shell, word, values);
    if (shell.stopping()) return shell.last_status;
  }
  int status = 0;
  shell.loops++;
  for (std::string& value : values) {
    if (!shell.variables.set(node.variable, std::move(value))) {
      shell.abandon(kUsageError);
      break;
    }
    status = execute_list(shell, *node.body);
    if (!continue_loop(shell) || stop_for_interrupt(shell)) break;
  }
  shell.loops--;
  return shell.stopping() ? shell.last_status : status;
}

int execute_case(Shell& shell, const Case& node) {
  std::string subject = expand_string(shell, node.subject);
  for (const Case::Branch& branch : node.branches) {
    for (const Word& word : branch.patterns) {
      if (shell.stopping()) return shell.last_status;
      std::string pattern = expand_pattern(shell, word);
      if (match_pattern(pattern.c_str(), subject.c_str())) return execute_list(shell, *branch.body);
    }
  }
  return 0;
}

int execute_subshell(Shell& shell, const Subshell& node) {
  Job& job = shell.jobs.add("(...)");
  pid_t pid = fork_process(shell, job, Placement::Foreground);
  if (pid == 0) exit_child(shell, execute_list(shell, *node.body));
  if (pid < 0) {
    shell.jobs.discard(job);
    return kUsageError;
  }
  return shell.jobs.wait_foreground(job);
}

int execute_body(Shell& shell, const Command& command) {
  struct Visitor {
    Shell& shell;
    int operator()(const SimpleCommand&) const { return 0; }  // never comes here: see execute_command
    int operator()(const Subshell& node) const { return execute_subshell(shell, node); }
    int operator()(const Group& node) const { return execute_list(shell, *node.body); }
    int operator()(const If& node) const { return execute_if(shell, node); }
    int operator()(const Loop& node) const { return execute_loop(shell, node); }
    int operator()(const For& node) const { return execute_for(shell, node); }
    int operator()(const Case& node) const { return execute_case(shell, node); }
    int operator()(const FunctionDefinition& node) const {
      shell.functions[node.name] = node.body;
      return 0;
    }
  };
  return std::visit(Visitor{shell}, command.body);
}

int execute_pipeline(Shell& shell, const Pipeline& pipeline, const std::string& text) {
  int status;
  {
    ConditionScope scope(shell, pipeline.negated);
    if (pipeline.commands.size() == 1) {
      status = execute_command(shell, pipeline.commands[0]);
    } else {
      Job& job = shell.jobs.add(text);
      status = execute_pipeline_processes(shell, pipeline, job, Placement::Foreground);
      if (job.processes.empty()) {
        shell.jobs.discard(job);
      } else {
        int waited = shell.jobs.wait_foreground(job);
        if (status == 0) status = waited;
      }
    }
  }
  if (shell.stopping()) return shell.last_status;
  if (pipeline.negated) status = status == 0;
  shell.last_status = status;
  if (status != 0 && shell.options.exit_on_error && shell.conditions == 0 && !pipeline.negated)
    shell.flow = Flow::Exit;
  return status;
}

// Starts every command of a pipeline as a process of `job`. Returns 0, or a status if one could not be
// started; those before it then run on and see the end of their pipe.
int execute_pipeline_processes(Shell& shell, const Pipeline& pipeline, Job& job, Placement placement) {
  int input = -1;
  for (size_t i = 0; i < pipeline.commands.size(); i++) {
    int ends[2] = {-1, -1};
    bool last = i + 1 == pipeline.commands.size();
    if (!last && pipe(ends) < 0) {
      complain("pipe", errno);
      if (input >= 0) close(input);
      return kUsageError;
    }
    pid_t pid = fork_process(shell, job, placement);
    if (pid == 0) {
      if (ends[0] >= 0) close(ends[0]);
      if (input >= 0) move_descriptor(input, STDIN_FILENO);
      if (ends[1] >= 0) move_descriptor(ends[1], STDOUT_FILENO);
      exit_child(shell, execute_last_command(shell, pipeline.commands[i]));
    }
    if (input >= 0) close(input);
    if (ends[1] >= 0) close(ends[1]);
    input = ends[0];
    if (pid < 0) {
      if (input >= 0) close(input);
      return kUsageError;
    }
  }
  return 0;
}

int execute_and_or(Shell& shell, const AndOr& item) {
  int status = 0;
  for (const AndOr::Term& term : item.terms) {
    if (term.connector == AndOr::Connector::And && status != 0) continue;
    if (term.connector == AndOr::Connector::Or && status == 0) continue;
    ConditionScope scope(shell, &term != &item.terms.back());
    status = execute_pipeline(shell, term.pipeline, item.source);
    if (shell.stopping()) return status;
  }
  return status;
}

int start_background(Shell& shell, const AndOr& item) {
  Job& job = shell.jobs.add(item.source);
  job.background = true;
  int status = 0;
  if (item.terms.size() == 1) {
    status = execute_pipeline_processes(shell, item.terms[0].pipeline, job, Placement::Background);
  } else {
    pid_t pid = fork_process(shell, job, Placement::Background);
    if (pid == 0) exit_child(shell, execute_and_or(shell, item));
    if (pid < 0) status = kUsageError;
  }
  if (job.processes.empty()) {
    shell.jobs.discard(job);
    return status;
  }
  shell.last_background = job.processes.back().pid;
  if (shell.options.interactive && !shell.subshell) {
    std::string line = "[" + std::to_string(job.number) + "] " + std::to_string(shell.last_background) + "\n";
    write_all(STDERR_FILENO, line.data(), line.size());
  }
  return status;
}

}  // namespace

int execute_list(Shell& shell, const List& list) {
  int status = 0;
  for (const AndOr& item : list.items) {
    if (stop_for_interrupt(shell)) return shell.last_status;
    status = item.background ? start_background(shell, item) : execute_and_or(shell, item);
    if (shell.stopping()) return shell.last_status;
    shell.last_status = status;
  }
  return status;
}

int execute_command(Shell& shell, const Command& command) {
  if (shell.depth >= Shell::kMaxDepth) {
    complain("commands nested too deeply");
    shell.abandon(kUsageError);
    return kUsageError;
  }
  shell.depth++;
  int status;
  if (const auto* simple = std::get_if<SimpleCommand>(&command.body)) {
    status = execute_simple(shell, *simple, command.redirections);
  } else {
    RedirectionScope scope(shell);
    status = scope.apply(command.redirections) ? execute_body(shell, command) : 1;
  }
  shell.depth--;
  return status;
}

int call_function(Shell& shell, const Command& body, std::vector<std::string> arguments) {
  std::swap(shell.arguments, arguments);
  int loops = std::exchange(shell.loops, 0);
  shell.functions_active++;
  shell.hidden.emplace_back();
  int status = execute_command(shell, body);
  if (shell.flow == Flow::Return) {
    shell.flow = Flow::Normal;
    status = shell.last_status;
  }
  for (auto& [name, variable] : shell.hidden.back()) shell.variables.restore(name, std::move(variable));
  shell.hidden.pop_back();
  shell.functions_active--;
  shell.loops = loops;
  std::swap(shell.arguments, arguments);
  return status;
}

int execute_source(Shell& shell, Source& source) {
  for (;;) {
    List list;
    ParseFailure failure;
    Parser parser(source, failure);
    switch (parser.parse_complete_command(list)) {
      case Parser::Outcome::End:
        return shell.last_status;
      case Parser::Outcome::Empty:
        break;
      case Parser::Outcome::Command:
        if (!shell.options.no_execution) execute_list(shell, list);
        break;
      case Parser::Outcome::Error:
        complain(failure.message);
        shell.abandon(kUsageError);
        break;
      case Parser::Outcome::Interrupted:
        shell.abandon(kSignalBase + SIGINT);
        break;
    }
    if (shell.stopping()) return shell.last_status;
  }
}

}  // namespace faultline::sh
