#include "user/bin/sh/jobs.hpp"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/bin/sh/shell.hpp"
#include "user/bin/sh/signals.hpp"

namespace faultline::sh {

bool Job::done() const {
  for (const Process& process : processes) {
    if (process.state != Process::State::Done) return false;
  }
  return true;
}

bool Job::stopped() const {
  bool any = false;
  for (const Process& process : processes) {
    if (process.state == Process::State::Running) return false;
    any = any || process.state == Process::State::Stopped;
  }
  return any;
}

int Job::status() const {
  if (processes.empty()) return 0;
  int status = processes.back().status;
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  return kSignalBase + (WIFSIGNALED(status) ? WTERMSIG(status) : WSTOPSIG(status));
}

void Jobs::take_terminal(int terminal) {
  interactive_ = true;
  have_modes_ = tcgetattr(terminal, &modes_) == 0;
  terminal_ = fcntl(terminal, F_DUPFD_CLOEXEC, 10);
  if (terminal_ < 0) return;
  // Started in the background: stop here until somebody brings us to the foreground. If SIGTTIN does
  // not stop us there is no job control to wait for.
  pid_t foreground = tcgetpgrp(terminal_);
  if (foreground >= 0 && foreground != getpgrp()) {
    kill(0, SIGTTIN);
    foreground = tcgetpgrp(terminal_);
  }
  if (foreground < 0) return;
  shell_group_ = getpid();
  if (getpgrp() != shell_group_ && setpgid(0, shell_group_) < 0) return;
  // SIGTTOU must be ignored from here on: only the foreground group may do this otherwise.
  signal(SIGTTOU, SIG_IGN);
  job_control_ = tcsetpgrp(terminal_, shell_group_) == 0;
}

void Jobs::forget_all() {
  jobs_.clear();
  job_control_ = interactive_ = false;
}

Job& Jobs::add(std::string text) {
  int number = 1;
  for (const Job& job : jobs_) {
    if (job.number >= number) number = job.number + 1;
  }
  Job& job = jobs_.emplace_back();
  job.number = number;
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  job.text = std::move(text);
  return job;
}

void Jobs::discard(Job& job) { forget(job); }

void Jobs::forget(Job& job) {
  jobs_.remove_if([&job](const Job& other) { return &other == &job; });
}

void Jobs::join_group(pid_t group, pid_t pid, bool foreground) const {
  if (!job_control_) return;
  setpgid(pid, group);
  if (foreground) give_terminal(group);
}

void Jobs::give_terminal(pid_t group) const {
  if (job_control_) tcsetpgrp(terminal_, group);
}

// Looks for a child that ended or stopped; with WNOHANG without waiting for one.
Jobs::Found Jobs::wait_any(int flags) {
  int status;
  pid_t pid = waitpid(-1, &status, flags | WUNTRACED);
  if (pid > 0) record(pid, status);
  if (pid > 0 || (pid < 0 && errno == EINTR)) return Found::Change;
  return pid == 0 ? Found::NoChange : Found::NoChildren;
}

// Somebody else collected the children (SIGCHLD was ignored when the shell was started): they are gone.
void Jobs::give_up(Job& job) {
  for (Process& process : job.processes) process.state = Process::State::Done;
}

void Jobs::record(pid_t pid, int status) {
  for (Job& job : jobs_) {
    for (Process& process : job.processes) {
      if (process.pid != pid || process.state == Process::State::Done) continue;
      process.state = WIFSTOPPED(status) ? Process::State::Stopped : Process::State::Done;
      process.status = status;
      return;
    }
  }
}

int Jobs::wait_foreground(Job& job) {
  while (!job.done() && !job.stopped()) {
    if (wait_any(0) == Found::NoChildren) give_up(job);
  }
  give_terminal(shell_group_);
  int status = job.status();
  int last = job.processes.back().status;
  if (job.stopped()) {
    if (have_modes_ && job_control_) tcsetattr(terminal_, TCSADRAIN, &modes_);
    job.background = true;
    job.reported_stopped = true;
    std::string line = "\n" + describe(job) + "\n";
    write_all(STDERR_FILENO, line.data(), line.size());
    return status;
  }
  if (WIFSIGNALED(last)) {
    if (have_modes_ && job_control_) tcsetattr(terminal_, TCSADRAIN, &modes_);
    report_end(job);
  }
  forget(job);
  return status;
}

// Says which signal ended a foreground job. Ctrl-C and a closed pipe are everyday ends.
void Jobs::report_end(const Job& job) {
  int signal_number = WTERMSIG(job.processes.back().status);
  std::string line;
  if (signal_number == SIGINT) {
    note_interrupt();
  } else if (signal_number != SIGPIPE) {
    line = std::string(strsignal(signal_number)) + "\n";
  }
  write_all(STDERR_FILENO, line.data(), line.size());
}

int Jobs::resume(Job& job, bool foreground) {
  for (Process& process : job.processes) {
    if (process.state == Process::State::Stopped) process.state = Process::State::Running;
  }
  job.background = !foreground;
  job.reported_stopped = false;
  if (foreground && job.group > 0) give_terminal(job.group);
  if (job.group > 0) {
    kill(-job.group, SIGCONT);
  } else {
    for (const Process& process : job.processes) {
      if (process.state == Process::State::Running) kill(process.pid, SIGCONT);
    }
  }
  // A Ctrl-C from before the job had the terminal reached only the shell, and was meant for the job.
  if (foreground && job.group > 0 && interrupt_pending()) kill(-job.group, SIGINT);
  return foreground ? wait_foreground(job) : 0;
}

bool Jobs::wait_background(Job& job, int& status) {
  SignalPause signals;
  while (!job.done()) {
    if (interrupt_pending()) return false;
    Found found = wait_any(interactive_ ? WNOHANG : 0);
    if (found == Found::NoChildren) give_up(job);
    if (found == Found::NoChange) signals.pause();
  }
  status = job.status();
  forget(job);
  return true;
}

void Jobs::collect() {
  while (wait_any(WNOHANG) == Found::Change) {
  }
}

std::string Jobs::describe(const Job& job) {
  std::string state = "Running";
  if (job.done()) {
    int status = job.processes.empty() ? 0 : job.processes.back().status;
    if (WIFSIGNALED(status)) {
      state = strsignal(WTERMSIG(status));
    } else {
      state = job.status() == 0 ? "Done" : "Exit " + std::to_string(job.status());
    }
  } else if (job.stopped()) {
    state = "Stopped";
  }
  if (state.size() < 24) state.resize(24, ' ');
  return "[" + std::to_string(job.number) + "]  " + state + job.text;
}

void Jobs::notify() {
  collect();
  for (auto job = jobs_.begin(); job != jobs_.end();) {
    bool done = job->done();
    if (done || (job->stopped() && !job->reported_stopped)) {
      std::string line = describe(*job) + "\n";
      write_all(STDERR_FILENO, line.data(), line.size());
      job->reported_stopped = true;
    }
    if (done) remember_end(*job);
    job = done ? jobs_.erase(job) : std::next(job);
  }
}

void Jobs::remember_end(const Job& job) {
  constexpr size_t kMost = 100;
  if (job.processes.empty()) return;
  if (reported_.size() == kMost) reported_.erase(reported_.begin());
  reported_.push_back({job.processes.back().pid, job.status()});
}

std::optional<int> Jobs::take_reported_status(std::string_view pid) {
  for (auto end = reported_.begin(); end != reported_.end(); ++end) {
    if (std::to_string(end->pid) != pid) continue;
    int status = end->status;
    reported_.erase(end);
    return status;
  }
  return std::nullopt;
}

void Jobs::forget_ended() {
  for (const Job& job : jobs_) {
    if (job.done()) remember_end(job);
  }
  jobs_.remove_if([](const Job& job) { return job.done(); });
}

Job* Jobs::find_pid(pid_t pid) {
  for (Job& job : jobs_) {
    for (const Process& process : job.processes) {
      if (process.pid == pid) return &job;
    }
  }
  return nullptr;
}

Job* Jobs::find(std::string_view specification) {
  if (jobs_.empty()) return nullptr;
  if (!specification.empty() && specification[0] != '%') {
    if (specification.size() > 9 || specification.find_first_not_of("0123456789") != specification.npos)
      return nullptr;
    return find_pid(atoi(std::string(specification).c_str()));
  }
  if (!specification.empty()) specification.remove_prefix(1);
  if (specification.empty() || specification == "%" || specification == "+") return &jobs_.back();
  if (specification == "-") return jobs_.size() > 1 ? &*std::prev(jobs_.end(), 2) : nullptr;
  for (Job& job : jobs_) {
    if (std::to_string(job.number) == specification) return &job;
    if (std::string_view(job.text).starts_with(specification)) return &job;
  }
  return nullptr;
}

}  // namespace faultline::sh
