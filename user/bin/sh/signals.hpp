// What the shell itself does about signals.
#pragma once

#include <signal.h>
#include <sys/types.h>

namespace faultline::sh {

// An interactive shell notes Ctrl-C and survives the other signals of the keyboard.
void install_interactive_signals();
// fork() for an interactive shell. Until settle_interrupts() in the parent and restore_child_signals() in
// the child a Ctrl-C is held back: the parent must first have put the child where the terminal finds it.
pid_t fork_holding_interrupts();
// In the parent: takes the Ctrl-Cs that were held back, and passes on one that came too early for the child.
void settle_interrupts(pid_t child);
// A child of the shell takes back what the shell was started with.
void restore_child_signals(bool background_without_job_control);

// True while a Ctrl-C has not been answered yet.
bool interrupt_pending();
// The same, and the interrupt counts as answered.
bool take_interrupt();
// A foreground command died of Ctrl-C: what contains it must stop as well.
void note_interrupt();

// Waits until a descriptor can be read; false if a Ctrl-C is pending or comes first. A Ctrl-C between a
// check and a blocking read would be overlooked otherwise. Only an interactive shell waits.
bool wait_for_input(int fd);

// While it lives, an interactive shell's SIGINT and SIGCHLD are only taken inside pause(), so that none
// is overlooked between looking for a change and waiting for one.
class SignalPause {
 public:
  SignalPause();
  SignalPause(const SignalPause&) = delete;
  SignalPause& operator=(const SignalPause&) = delete;
  ~SignalPause();
  // Returns after a signal.
  void pause();

 private:
  bool active_;
  sigset_t outside_ = {};
};

}  // namespace faultline::sh
