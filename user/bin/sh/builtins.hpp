// Commands that run in the shell's own process.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "user/bin/sh/shell.hpp"

namespace faultline::sh {

// Gets its name and its arguments, returns its exit status.
using Builtin = int (*)(Shell& shell, const std::vector<std::string>& fields);

// Null if there is none of that name.
Builtin find_builtin(std::string_view name);

// Parses a decimal number that fills the whole text; false if it is none or out of range.
bool parse_number(std::string_view text, int& number);

int builtin_echo(Shell& shell, const std::vector<std::string>& fields);
int builtin_test(Shell& shell, const std::vector<std::string>& fields);
int builtin_cd(Shell& shell, const std::vector<std::string>& fields);
int builtin_pwd(Shell& shell, const std::vector<std::string>& fields);
int builtin_umask(Shell& shell, const std::vector<std::string>& fields);

int builtin_export(Shell& shell, const std::vector<std::string>& fields);
int builtin_readonly(Shell& shell, const std::vector<std::string>& fields);
int builtin_local(Shell& shell, const std::vector<std::string>& fields);
int builtin_unset(Shell& shell, const std::vector<std::string>& fields);
int builtin_set(Shell& shell, const std::vector<std::string>& fields);
int builtin_shift(Shell& shell, const std::vector<std::string>& fields);
int builtin_read(Shell& shell, const std::vector<std::string>& fields);

int builtin_jobs(Shell& shell, const std::vector<std::string>& fields);
int builtin_fg(Shell& shell, const std::vector<std::string>& fields);
int builtin_bg(Shell& shell, const std::vector<std::string>& fields);
int builtin_wait(Shell& shell, const std::vector<std::string>& fields);
int builtin_kill(Shell& shell, const std::vector<std::string>& fields);

}  // namespace faultline::sh
