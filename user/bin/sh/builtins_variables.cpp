// Builtins about variables, options and positional parameters.
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "user/bin/sh/builtins.hpp"
#include "user/bin/sh/lexer.hpp"
#include "user/bin/sh/signals.hpp"

namespace faultline::sh {
namespace {

using Fields = std::vector<std::string>;

// The value so that the shell would read it back.
std::string quoted(const std::string& value) {
  std::string result = "'";
  for (char c : value) {
    if (c == '\'') {
      result += "'\\''";
    } else {
      result.push_back(c);
    }
  }
  return result + "'";
}

template <typename Wanted>
int print_variables(const Shell& shell, const std::string& prefix, Wanted wanted) {
  std::string text;
  for (const auto& [name, variable] : shell.variables.all()) {
    if (!wanted(variable)) continue;
    text += prefix + name;
    if (variable.set) text += "=" + quoted(variable.value);
    text += '\n';
  }
  return write_all(STDOUT_FILENO, text.data(), text.size()) ? 0 : 1;
}

// Calls `change` with each NAME or NAME=value after the command's own name, having assigned the value.
template <typename Change>
int declare(Shell& shell, const Fields& fields, Change change) {
  int status = 0;
  for (size_t i = 1; i < fields.size(); i++) {
    size_t equals = fields[i].find('=');
    std::string name = fields[i].substr(0, equals);
    if (!is_name(name)) {
      complain(fields[0] + ": " + fields[i] + ": not a name");
      status = kUsageError;
      continue;
    }
    if (!change(name, equals == std::string::npos ? nullptr : fields[i].c_str() + equals + 1)) status = 1;
  }
  (void)shell;
  return status;
}

struct OptionLetter {
  char letter;
  bool Options::* option;
};

constexpr OptionLetter kOptions[] = {
    {'e', &Options::exit_on_error},  {'f', &Options::no_globbing}, {'n', &Options::no_execution},
    {'u', &Options::unset_is_error}, {'x', &Options::trace},
};

// Reads one line, byte by byte since what follows belongs to others. False at the end of the input.
bool read_line(std::string& line, bool raw, std::vector<bool>& escaped) {
  for (;;) {
    if (line.empty() && !wait_for_input(STDIN_FILENO)) return false;
    char c;
    ssize_t n = read(STDIN_FILENO, &c, 1);
    if (n < 0 && errno == EINTR && !interrupt_pending()) continue;
    if (n <= 0) return false;
    bool protect = c == '\\' && !raw;
    if (protect) {
      if (read(STDIN_FILENO, &c, 1) <= 0) return false;
      if (c == '\n') continue;
    } else if (c == '\n') {
      return true;
    }
    line.push_back(c);
    escaped.push_back(protect);
  }
}

}  // namespace

int builtin_export(Shell& shell, const Fields& fields) {
  if (fields.size() == 1 || fields[1] == "-p") {
    return print_variables(shell, "export ", [](const Variable& variable) { return variable.exported; });
  }
  return declare(shell, fields, [&shell](const std::string& name, const char* value) {
    if (value && !shell.variables.set(name, value)) return false;
    shell.variables.set_exported(name, true);
    return true;
  });
}

int builtin_readonly(Shell& shell, const Fields& fields) {
  if (fields.size() == 1 || fields[1] == "-p") {
    return print_variables(shell, "readonly ", [](const Variable& variable) { return variable.read_only; });
  }
  return declare(shell, fields, [&shell](const std::string& name, const char* value) {
    if (value && !shell.variables.set(name, value)) return false;
    shell.variables.set_read_only(name);
    return true;
  });
}

int builtin_local(Shell& shell, const Fields& fields) {
  if (shell.hidden.empty()) {
    complain("local: not in a function");
    return kUsageError;
  }
  return declare(shell, fields, [&shell](const std::string& name, const char* value) {
    Variable saved = shell.variables.save(name);
    if (saved.read_only) return shell.variables.set(name, "");  // complains
    shell.hidden.back().emplace_back(name, std::move(saved));
    return value ? shell.variables.set(name, value) : shell.variables.unset(name);
  });
}

int builtin_unset(Shell& shell, const Fields& fields) {
  int status = 0;
  bool functions = fields.size() > 1 && fields[1] == "-f";
  size_t first = fields.size() > 1 && (functions || fields[1] == "-v") ? 2 : 1;
  for (size_t i = first; i < fields.size(); i++) {
    if (functions) {
      shell.functions.erase(fields[i]);
    } else if (!shell.variables.unset(fields[i])) {
      status = 1;
    }
  }
  return status;
}

int builtin_set(Shell& shell, const Fields& fields) {
  if (fields.size() == 1) {
    return print_variables(shell, "", [](const Variable& variable) { return variable.set; });
  }
  size_t i = 1;
  for (; i < fields.size(); i++) {
    const std::string& field = fields[i];
    if (field.size() < 2 || (field[0] != '-' && field[0] != '+') || field == "--") break;
    for (char letter : field.substr(1)) {
      bool known = false;
      for (const OptionLetter& option : kOptions) {
        if (option.letter != letter) continue;
        shell.options.*option.option = field[0] == '-';
        known = true;
      }
      if (!known) {
        complain("set: unknown option " + field);
        return kUsageError;
      }
    }
  }
  bool replace = i < fields.size();
  if (replace && fields[i] == "--") i++;
  if (replace) shell.arguments.assign(fields.begin() + static_cast<ptrdiff_t>(i), fields.end());
  return 0;
}

int builtin_shift(Shell& shell, const Fields& fields) {
  int count = 1;
  if (fields.size() > 1 && (!parse_number(fields[1], count) || count < 0)) {
    complain("shift: " + fields[1] + ": not a number that fits");
    return kUsageError;
  }
  if (static_cast<size_t>(count) > shell.arguments.size()) {
    complain("shift: only " + std::to_string(shell.arguments.size()) + " arguments");
    return 1;
  }
  shell.arguments.erase(shell.arguments.begin(), shell.arguments.begin() + count);
  return 0;
}

int builtin_read(Shell& shell, const Fields& fields) {
  bool raw = fields.size() > 1 && fields[1] == "-r";
  Fields names(fields.begin() + (raw ? 2 : 1), fields.end());
  if (names.empty()) names.push_back("REPLY");
  for (const std::string& name : names) {
    if (is_name(name)) continue;
    complain("read: " + name + ": not a name");
    return kUsageError;
  }
  std::string line;
  std::vector<bool> escaped;
  bool complete = read_line(line, raw, escaped);
  if (interrupt_pending()) {
    shell.abandon(kSignalBase + SIGINT);
    return shell.last_status;
  }
  std::string ifs = shell.variables.get_or("IFS", " \t\n");
  auto separates = [&](size_t i) { return !escaped[i] && ifs.find(line[i]) != std::string::npos; };
  auto is_blank = [&](size_t i) { return separates(i) && (line[i] == ' ' || line[i] == '\t'); };
  size_t end = line.size();
  while (end > 0 && is_blank(end - 1)) end--;
  size_t i = 0;
  for (size_t n = 0; n < names.size(); n++) {
    while (i < end && is_blank(i)) i++;
    size_t begin = i;
    bool last = n + 1 == names.size();
    while (i < end && (last || !separates(i))) i++;
    if (!shell.variables.set(names[n], line.substr(begin, i - begin))) return kUsageError;
    while (i < end && is_blank(i)) i++;
    if (i < end && separates(i) && !is_blank(i)) i++;
  }
  return complete ? 0 : 1;
}

}  // namespace faultline::sh
