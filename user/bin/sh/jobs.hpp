// Jobs: the process groups the shell started, and who has the terminal.
#pragma once

#include <sys/types.h>
#include <termios.h>

#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace faultline::sh {

struct Process {
  enum class State { Running, Stopped, Done };
  pid_t pid = 0;
  State state = State::Running;
  int status = 0;  // as waitpid gives it, unless running
};

struct Job {
  int number = 0;
  pid_t group = 0;  // 0: the shell's own
  std::vector<Process> processes;
  std::string text;
  bool background = false;
  bool reported_stopped = false;

  bool done() const;
  bool stopped() const;
  // The shell's $? for the last process of the pipeline.
  int status() const;
};

class Jobs {
 public:
  // Makes this an interactive shell that controls the terminal, if there is one and it lets us;
  // otherwise its children stay in its own process group.
  void take_terminal(int terminal);
  // In a child: no jobs, no job control.
  void forget_all();
  bool has_job_control() const { return job_control_; }

  Job& add(std::string text);
  // Removes a job that has no process.
  void discard(Job& job);
  // Called in the parent and in the child for each process that is started, since either may run first.
  void join_group(pid_t group, pid_t pid, bool foreground) const;
  // Waits until the job ends or stops. A job that ended is forgotten. Returns its status.
  int wait_foreground(Job& job);
  // Gives the job the terminal, lets it run on and waits for it; or lets it run in the background.
  int resume(Job& job, bool foreground);
  // Waits until a job in the background ends or a Ctrl-C; false for the latter.
  bool wait_background(Job& job, int& status);

  // Collects whatever has ended or stopped, without waiting.
  void collect();
  // Writes a line for each background job that ended or stopped, and forgets the ended ones.
  void notify();
  // %N, %%, %+, %-, %NAME, a process id, or "" for the current job. Null if there is none.
  Job* find(std::string_view specification);
  Job* find_pid(pid_t pid);
  // The status of a background process whose end has been reported already: `wait $!` may come after the
  // notice. Told once; only the last hundred are remembered.
  std::optional<int> take_reported_status(std::string_view pid);
  // Removes the jobs that ended and whose end the caller has shown.
  void forget_ended();
  std::list<Job>& all() { return jobs_; }
  static std::string describe(const Job& job);

 private:
  enum class Found { Change, NoChange, NoChildren };
  Found wait_any(int flags);
  static void give_up(Job& job);
  void record(pid_t pid, int status);
  void give_terminal(pid_t group) const;
  static void report_end(const Job& job);
  void forget(Job& job);

  void remember_end(const Job& job);

  std::list<Job> jobs_;
  struct End {
    pid_t pid;
    int status;
  };
  std::vector<End> reported_;
  bool interactive_ = false;
  bool job_control_ = false;
  int terminal_ = -1;
  pid_t shell_group_ = 0;
  bool have_modes_ = false;
  termios modes_ = {};
};

}  // namespace faultline::sh
