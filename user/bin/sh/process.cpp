// Children of the shell: forking them, finding and becoming programs, command substitution.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/bin/sh/execute.hpp"
#include "user/bin/sh/expander.hpp"
#include "user/bin/sh/redirect.hpp"
#include "user/bin/sh/signals.hpp"

namespace faultline::sh {
namespace {

void become_subshell(Shell& shell, bool background) {
  bool job_control = shell.jobs.has_job_control();
  restore_child_signals(background && !job_control);
  if (background && !job_control) {
    // It must not take input away from the shell.
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0) move_descriptor(null, STDIN_FILENO);
  }
  shell.jobs.forget_all();
  shell.subshell = true;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (const std::string& string : strings) result.push_back(const_cast<char*>(string.c_str()));
  result.push_back(nullptr);
  return result;
}

// When the answer is no, errno tells why, if it is more than that there is no such program.
bool is_executable_file(const std::string& path) {
  struct stat status;
  errno = ENOENT;
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && access(path.c_str(), X_OK) == 0;
}

bool says_no_such_program(int error) { return error == ENOENT || error == ENOTDIR || error == EACCES; }

}  // namespace

pid_t fork_process(Shell& shell, Job& job, Placement placement) {
  bool foreground = placement == Placement::Foreground;
  pid_t pid = fork_holding_interrupts();
  if (pid < 0) {
    complain("fork", errno);
    settle_interrupts(pid);
    return -1;
  }
  pid_t process = pid == 0 ? getpid() : pid;
  pid_t group = job.group != 0 ? job.group : process;
  shell.jobs.join_group(group, process, foreground);
  if (pid == 0) {
    become_subshell(shell, !foreground);
    return 0;
  }
  settle_interrupts(foreground ? pid : 0);
  if (shell.jobs.has_job_control()) job.group = group;
  job.processes.push_back({pid, Process::State::Running, 0});
  return pid;
}

void exit_child(Shell& shell, int status) {
  if (shell.flow == Flow::Exit || shell.flow == Flow::Abandon) status = shell.last_status;
  _exit(status & 0xff);
}

std::string find_program(const Shell& shell, const std::string& name) {
  errno = ENOENT;
  if (name.empty()) return {};
  if (name.find('/') != std::string::npos) return name;
  std::string path = shell.variables.get_or("PATH", "/bin");
  int reason = ENOENT;
  for (size_t begin = 0; begin <= path.size();) {
    size_t end = std::min(path.find(':', begin), path.size());
    std::string directory = path.substr(begin, end - begin);
    std::string candidate = (directory.empty() ? "." : directory) + "/" + name;
    if (is_executable_file(candidate)) return candidate;
    if (!says_no_such_program(errno)) reason = errno;
    begin = end + 1;
  }
  errno = reason;
  return {};
}

int become_program(Shell& shell, const std::vector<std::string>& fields) {
  std::string path = find_program(shell, fields[0]);
  if (path.empty() && errno != ENOENT) {
    complain(fields[0], errno);
    return kCannotExecute;
  }
  if (path.empty()) {
    complain(fields[0] + ": not found");
    return kNotFound;
  }
  std::vector<std::string> environment = shell.variables.environment();
  std::vector<char*> environment_pointers = pointers(environment);
  execve(path.c_str(), pointers(fields).data(), environment_pointers.data());
  if (errno == ENOEXEC && is_executable_file(path)) {
    // No header: by tradition a shell script.
    std::vector<std::string> script = {"sh", path};
    script.insert(script.end(), fields.begin() + 1, fields.end());
    execve("/bin/sh", pointers(script).data(), environment_pointers.data());
    errno = ENOEXEC;
  }
  int error = errno;
  if (error == ENOENT) {
    complain(fields[0] + ": not found");
    return kNotFound;
  }
  complain(fields[0], error);
  return kCannotExecute;
}

std::string command_output(Shell& shell, const List& program) {
  std::string output;
  shell.substitutions++;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) {
    complain("pipe", errno);
    shell.abandon(kUsageError);
    return output;
  }
  pid_t pid = fork_holding_interrupts();
  if (pid == 0) {
    close(ends[0]);
    move_descriptor(ends[1], STDOUT_FILENO);
    become_subshell(shell, false);
    exit_child(shell, execute_list(shell, program));
  }
  close(ends[1]);
  settle_interrupts(pid);
  if (pid < 0) {
    complain("fork", errno);
    shell.abandon(kUsageError);
  }
  char buffer[4096];
  for (;;) {
    ssize_t n = pid < 0 ? 0 : read(ends[0], buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    for (char c : std::string_view(buffer, static_cast<size_t>(n))) {
      if (c != '\0') output.push_back(c);  // a string of the shell cannot hold a NUL
    }
  }
  close(ends[0]);
  int status = 0;
  while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (pid > 0) shell.last_status = WIFEXITED(status) ? WEXITSTATUS(status) : kSignalBase + WTERMSIG(status);
  if (pid > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) note_interrupt();
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

}  // namespace faultline::sh
