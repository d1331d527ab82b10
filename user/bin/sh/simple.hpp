// Simple commands: assignments, builtins, functions and programs.
#pragma once

#include <vector>

#include "user/bin/sh/shell.hpp"
#include "user/bin/sh/syntax.hpp"

namespace faultline::sh {

int execute_simple(Shell& shell, const SimpleCommand& command, const std::vector<Redirection>& redirections);

// The same as execute_command in a child that has nothing else to do: a program replaces the child
// instead of becoming a grandchild.
int execute_last_command(Shell& shell, const Command& command);

}  // namespace faultline::sh
