// sh: the shell. `sh`, `sh -c command [name [argument...]]` or `sh script [argument...]`.
#include "user/bin/sh/main.hpp"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <new>

#include "user/bin/sh/builtins.hpp"
#include "user/bin/sh/execute.hpp"
#include "user/bin/sh/parser.hpp"
#include "user/bin/sh/signals.hpp"

namespace faultline::sh {

void complain(const std::string& message) {
  constexpr size_t kLongest = 400;  // what is wrong may be quoted, and may be of any length
  std::string line = "sh: " + message;
  if (line.size() > kLongest) line = line.substr(0, kLongest) + "...";
  line += '\n';
  write_all(STDERR_FILENO, line.data(), line.size());
}

void complain(const std::string& subject, int error) { complain(subject + ": " + strerror(error)); }

bool write_all(int fd, const char* data, size_t size) {
  while (size > 0) {
    ssize_t n = write(fd, data, size);
    if (n < 0 && errno == EINTR && !interrupt_pending()) continue;
    if (n <= 0) return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

bool read_script(const std::string& path, std::string& text) {
  constexpr size_t kLargest = size_t{16} << 20;
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  char buffer[4096];
  ssize_t n = -1;
  while (fd >= 0 && text.size() <= kLargest && (n = read(fd, buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<size_t>(n));
  }
  int error = errno;
  if (fd >= 0) close(fd);
  if (n < 0) {
    complain(path, error);
    return false;
  }
  // Programs of another machine come here by way of ENOEXEC.
  if (text.find('\0') != std::string::npos || text.size() > kLargest) {
    complain(path + ": not a script");
    return false;
  }
  return true;
}

namespace {

void out_of_memory() {
  static constexpr char kMessage[] = "sh: out of memory\n";
  if (write(STDERR_FILENO, kMessage, sizeof kMessage - 1) < 0) _exit(kCannotExecute);
  _exit(kUsageError);
}

[[noreturn]] void finish(Shell& shell) { _exit(shell.last_status & 0xff); }

// The prompt comes back whatever happens to the commands, until the input ends or `exit`.
[[noreturn]] void run_interactive(Shell& shell) {
  Source source(STDIN_FILENO, Source::Prompting::Yes);
  for (;;) {
    shell.jobs.notify();
    take_interrupt();
    ParseFailure failure;
    List list;
    Parser parser(source, failure);
    Parser::Outcome outcome = parser.parse_complete_command(list);
    if (outcome == Parser::Outcome::End) {
      write_all(STDERR_FILENO, "\n", 1);
      finish(shell);
    }
    if (outcome == Parser::Outcome::Error) {
      complain(failure.message);
      shell.last_status = kUsageError;
    } else if (outcome == Parser::Outcome::Interrupted) {
      write_all(STDERR_FILENO, "\n", 1);
      shell.last_status = kSignalBase + SIGINT;
    } else if (outcome == Parser::Outcome::Command) {
      execute_list(shell, list);
    }
    if (shell.flow == Flow::Exit) finish(shell);
    if (take_interrupt()) write_all(STDERR_FILENO, "\n", 1);  // after the terminal's ^C
    shell.flow = Flow::Normal;
    shell.loops = shell.functions_active = shell.conditions = shell.depth = 0;
  }
}

// Takes the options before the first operand; returns its index, or -1 for a bad option.
int parse_options(Shell& shell, int argc, char** argv, bool& command) {
  int i = 1;
  for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
    if (strcmp(argv[i], "--") == 0) return i + 1;
    for (const char* letter = argv[i] + 1; *letter != '\0'; letter++) {
      switch (*letter) {
        case 'c':
          command = true;
          break;
        case 'e':
          shell.options.exit_on_error = true;
          break;
        case 'f':
          shell.options.no_globbing = true;
          break;
        case 'i':
          shell.options.interactive = true;
          break;
        case 'n':
          shell.options.no_execution = true;
          break;
        case 'u':
          shell.options.unset_is_error = true;
          break;
        case 'x':
          shell.options.trace = true;
          break;
        default:
          return -1;
      }
    }
  }
  return i;
}

[[noreturn]] void run(Shell& shell, int argc, char** argv) {
  bool command = false;
  int i = parse_options(shell, argc, argv, command);
  if (i < 0 || (command && i >= argc)) {
    static constexpr char kUsage[] = "usage: sh [-efinux] [-c command [name] | script] [argument...]\n";
    write_all(STDERR_FILENO, kUsage, sizeof kUsage - 1);
    _exit(kUsageError);
  }
  std::string text;
  bool from_input = !command && i >= argc;
  if (command) {
    text = argv[i++];
    if (i < argc) shell.name = argv[i++];
  } else if (i < argc) {
    shell.name = argv[i];
    if (!read_script(argv[i], text)) _exit(errno == ENOENT ? kNotFound : kCannotExecute);
    i++;
  }
  for (; i < argc; i++) shell.arguments.emplace_back(argv[i]);
  if (!from_input) shell.options.interactive = false;
  if (from_input && (shell.options.interactive || isatty(STDIN_FILENO))) {
    shell.options.interactive = true;
    install_interactive_signals();
    shell.jobs.take_terminal(STDIN_FILENO);
    run_interactive(shell);
  }
  Source source = from_input ? Source(STDIN_FILENO, Source::Prompting::No) : Source(std::move(text));
  execute_source(shell, source);
  finish(shell);
}

}  // namespace
}  // namespace faultline::sh

int main(int argc, char** argv) {
  std::set_new_handler(faultline::sh::out_of_memory);
  faultline::sh::Shell shell;
  shell.pid = getpid();
  shell.variables.import_environment(environ);
  shell.variables.set("IFS", " \t\n");
  char directory[PATH_MAX];
  if (getcwd(directory, sizeof directory)) shell.variables.set("PWD", directory);
  if (argc > 0 && argv[0][0] != '-') shell.name = argv[0];
  faultline::sh::run(shell, argc, argv);
}
