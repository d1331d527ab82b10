// Builtins about jobs and signals.
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "user/bin/sh/builtins.hpp"
#include "user/bin/sh/signals.hpp"
#include "user/bin/signal_names.h"

namespace faultline::sh {
namespace {

using Fields = std::vector<std::string>;

Job* required_job(Shell& shell, const Fields& fields) {
  shell.jobs.collect();
  std::string specification = fields.size() > 1 ? fields[1] : "";
  Job* job = shell.jobs.find(specification);
  if (!job)
    complain(fields[0] + ": " + (specification.empty() ? "current" : specification) + ": no such job");
  return job;
}

int resume(Shell& shell, const Fields& fields, bool foreground) {
  Job* job = required_job(shell, fields);
  if (!job) return 1;
  std::string line = (foreground ? "" : "[" + std::to_string(job->number) + "] ") + job->text + "\n";
  write_all(STDERR_FILENO, line.data(), line.size());
  return shell.jobs.resume(*job, foreground);
}

int wait_for(Shell& shell, Job& job) {
  int status = 0;
  if (shell.jobs.wait_background(job, status)) return status;
  shell.abandon(kSignalBase + SIGINT);
  return shell.last_status;
}

bool send(Shell& shell, const std::string& target, int signal_number) {
  if (target.starts_with("%")) {
    Job* job = shell.jobs.find(target);
    if (!job) {
      complain("kill: " + target + ": no such job");
      return false;
    }
    if (job->group > 0 && kill(-job->group, signal_number) == 0) return true;
    bool sent = false;
    for (const Process& process : job->processes) {
      if (process.state != Process::State::Done) sent = kill(process.pid, signal_number) == 0 || sent;
    }
    if (!sent) complain("kill: " + target, ESRCH);
    return sent;
  }
  int pid;
  if (!parse_number(target, pid)) {
    complain("kill: " + target + ": not a process or job");
    return false;
  }
  if (kill(pid, signal_number) == 0) return true;
  complain("kill: " + target, errno);
  return false;
}

int list_signals() {
  std::string text;
  for (const SignalName& entry : kSignalNames) text += std::to_string(entry.number) + " " + entry.name + "\n";
  return write_all(STDOUT_FILENO, text.data(), text.size()) ? 0 : 1;
}

}  // namespace

int builtin_jobs(Shell& shell, const Fields&) {
  shell.jobs.collect();
  std::string text;
  for (Job& job : shell.jobs.all()) {
    text += Jobs::describe(job) + "\n";
    job.reported_stopped = job.stopped();
  }
  shell.jobs.forget_ended();
  return write_all(STDOUT_FILENO, text.data(), text.size()) ? 0 : 1;
}

int builtin_fg(Shell& shell, const Fields& fields) { return resume(shell, fields, true); }

int builtin_bg(Shell& shell, const Fields& fields) { return resume(shell, fields, false); }

int builtin_wait(Shell& shell, const Fields& fields) {
  int status = 0;
  if (fields.size() == 1) {
    while (!shell.jobs.all().empty() && !shell.stopping()) wait_for(shell, shell.jobs.all().front());
    return shell.stopping() ? shell.last_status : 0;
  }
  for (size_t i = 1; i < fields.size() && !shell.stopping(); i++) {
    Job* job = shell.jobs.find(fields[i]);
    std::optional<int> reported = job ? std::nullopt : shell.jobs.take_reported_status(fields[i]);
    status = job ? wait_for(shell, *job) : reported.value_or(kNotFound);
    if (!job && !reported) complain("wait: " + fields[i] + ": no such job");
  }
  return status;
}

int builtin_kill(Shell& shell, const Fields& fields) {
  size_t i = 1;
  int signal_number = SIGTERM;
  if (fields.size() > 1 && fields[1] == "-l") return list_signals();
  if (fields.size() > 1 && fields[1].size() > 1 && fields[1][0] == '-' && fields[1] != "--") {
    bool separate = fields[1] == "-s" || fields[1] == "-n";
    std::string name = separate ? (fields.size() > 2 ? fields[2] : "") : fields[1].substr(1);
    signal_number = signal_from_name(name.c_str());
    if (signal_number < 0) {
      complain("kill: " + name + ": no such signal");
      return kUsageError;
    }
    i = separate ? 3 : 2;
  }
  if (i < fields.size() && fields[i] == "--") i++;
  if (i >= fields.size()) {
    complain("usage: kill [-SIGNAL] pid|%job ... or kill -l");
    return kUsageError;
  }
  int status = 0;
  for (; i < fields.size(); i++) {
    if (!send(shell, fields[i], signal_number)) status = 1;
  }
  return status;
}

}  // namespace faultline::sh
