// Builtins about files and output.
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/bin/escape.h"
#include "user/bin/sh/builtins.hpp"
#include "user/bin/test_expression.h"

namespace faultline::sh {
namespace {

int print(const std::string& name, const std::string& text) {
  if (write_all(STDOUT_FILENO, text.data(), text.size())) return 0;
  complain(name + ": write", errno);
  return 1;
}

bool current_directory(std::string& path) {
  char buffer[PATH_MAX];
  if (!getcwd(buffer, sizeof buffer)) return false;
  path = buffer;
  return true;
}

}  // namespace

int builtin_echo(Shell&, const std::vector<std::string>& fields) {
  bool newline = true;
  bool escapes = false;
  size_t first = 1;
  for (; first < fields.size(); first++) {
    const std::string& option = fields[first];
    if (option.size() < 2 || option[0] != '-' || option.find_first_not_of("neE", 1) != std::string::npos)
      break;
    for (char letter : option.substr(1)) {
      if (letter == 'n') newline = false;
      if (letter != 'n') escapes = letter == 'e';
    }
  }
  std::string line;
  for (size_t i = first; i < fields.size(); i++) {
    if (i > first) line.push_back(' ');
    for (const char* c = fields[i].c_str(); *c != '\0';) {
      int value = static_cast<unsigned char>(*c++);
      if (escapes && value == '\\') value = decode_escape(&c);
      if (value < 0) return print("echo", line);
      line.push_back(static_cast<char>(value));
    }
  }
  if (newline) line.push_back('\n');
  return print("echo", line);
}

int builtin_test(Shell&, const std::vector<std::string>& fields) {
  std::vector<const char*> arguments;
  arguments.reserve(fields.size());
  for (const std::string& field : fields) arguments.push_back(field.c_str());
  if (fields[0] == "[") {
    if (fields.back() != "]" || fields.size() == 1) {
      complain("[: ']' expected at the end");
      return kUsageError;
    }
    arguments.pop_back();
  }
  TestExpression test;
  int status = test_evaluate(&test, arguments.data() + 1, static_cast<int>(arguments.size()) - 1);
  if (status == kUsageError) complain(fields[0] + ": " + test.message);
  return status;
}

int builtin_cd(Shell& shell, const std::vector<std::string>& fields) {
  if (fields.size() > 2) {
    complain("usage: cd [directory]");
    return kUsageError;
  }
  std::string target = fields.size() == 2 ? fields[1] : shell.variables.get_or("HOME", "/");
  bool back = target == "-";
  if (back) target = shell.variables.get_or("OLDPWD", "");
  std::string before;
  bool known = current_directory(before);
  if (target.empty() || chdir(target.c_str()) < 0) {
    complain("cd: " + target, target.empty() ? ENOENT : errno);
    return 1;
  }
  if (known) shell.variables.set("OLDPWD", before);
  std::string after;
  if (current_directory(after)) shell.variables.set("PWD", after);
  return back ? print("cd", after + "\n") : 0;
}

int builtin_pwd(Shell&, const std::vector<std::string>&) {
  std::string path;
  if (current_directory(path)) return print("pwd", path + "\n");
  complain("pwd", errno);
  return 1;
}

int builtin_umask(Shell&, const std::vector<std::string>& fields) {
  if (fields.size() < 2) {
    mode_t mask = umask(0);
    umask(mask);
    char text[16];
    snprintf(text, sizeof text, "%04o\n", static_cast<unsigned>(mask));
    return print("umask", text);
  }
  char* end;
  long mask = strtol(fields[1].c_str(), &end, 8);
  if (end == fields[1].c_str() || *end != '\0' || mask < 0 || mask > 0777) {
    complain("umask: " + fields[1] + ": not an octal mode");
    return kUsageError;
  }
  umask(static_cast<mode_t>(mask));
  return 0;
}

}  // namespace faultline::sh
