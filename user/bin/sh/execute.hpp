// Walks the syntax tree.
#pragma once

#include <string>
#include <vector>

#include "user/bin/sh/shell.hpp"
#include "user/bin/sh/source.hpp"
#include "user/bin/sh/syntax.hpp"

namespace faultline::sh {

// Each returns the exit status, which is also in shell.last_status; shell.flow says whether to go on.
int execute_list(Shell& shell, const List& list);
int execute_command(Shell& shell, const Command& command);
// Reads, parses and executes until the source ends or the shell is stopping().
int execute_source(Shell& shell, Source& source);

// Calls a function with its own positional parameters. The caller keeps the body alive: a function may
// redefine itself.
int call_function(Shell& shell, const Command& body, std::vector<std::string> arguments);

// The file that `name` means as a command: itself if it contains a slash, else the first executable in
// PATH. Empty if there is none.
std::string find_program(const Shell& shell, const std::string& name);
// Replaces this process; returns the exit status if it cannot, with the reason reported.
int become_program(Shell& shell, const std::vector<std::string>& fields);

// How a child of the shell is started.
enum class Placement { Foreground, Background };
// Forks a process of `job`. Returns its pid in the parent, 0 in the child (which is then a subshell with
// the signals of an ordinary process) and -1, with the reason reported, on failure.
pid_t fork_process(Shell& shell, Job& job, Placement placement);
// Ends a forked child as the shell's end would, but without anything that belongs to the parent.
[[noreturn]] void exit_child(Shell& shell, int status);

}  // namespace faultline::sh
