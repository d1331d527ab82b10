#include "user/bin/sh/signals.hpp"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

namespace faultline::sh {
namespace {

volatile sig_atomic_t interrupted = 0;
bool interactive = false;

void on_interrupt(int) { interrupted = 1; }

void on_child(int) {}  // only there to end a pause: a signal that is ignored would not

sigset_t watched_signals() {
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGINT);
  sigaddset(&watched, SIGCHLD);
  return watched;
}

// Blocks the watched signals; returns the mask of before without them.
sigset_t block_signals() {
  sigset_t watched = watched_signals();
  sigset_t before;
  sigprocmask(SIG_BLOCK, &watched, &before);
  sigdelset(&before, SIGINT);
  sigdelset(&before, SIGCHLD);
  return before;
}

void unblock_signals() {
  sigset_t watched = watched_signals();
  sigprocmask(SIG_UNBLOCK, &watched, nullptr);
}

constexpr int kKeyboardSignals[] = {SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU};

}  // namespace

void install_interactive_signals() {
  interactive = true;
  for (int signal_number : kKeyboardSignals) signal(signal_number, SIG_IGN);
  struct sigaction action = {};
  action.sa_handler = on_interrupt;  // without SA_RESTART: a read at the prompt has to return
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  action.sa_handler = on_child;
  action.sa_flags = SA_RESTART;
  sigaction(SIGCHLD, &action, nullptr);
}

pid_t fork_holding_interrupts() {
  if (interactive) block_signals();
  return fork();
}

void settle_interrupts(pid_t child) {
  if (!interactive) return;
  unblock_signals();
  if (interrupted && child > 0) kill(child, SIGINT);
}

void restore_child_signals(bool background_without_job_control) {
  if (interactive) {
    for (int signal_number : kKeyboardSignals) signal(signal_number, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    unblock_signals();
    interactive = false;
  }
  interrupted = 0;
  if (background_without_job_control) {
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
  }
}

bool interrupt_pending() { return interrupted != 0; }

bool take_interrupt() {
  bool pending = interrupted != 0;
  interrupted = 0;
  return pending;
}

void note_interrupt() { interrupted = 1; }

bool wait_for_input(int fd) {
  if (!interactive) return true;
  sigset_t outside = block_signals();
  pollfd input = {fd, POLLIN, 0};
  while (!interrupted && ppoll(&input, 1, nullptr, &outside) < 0 && errno == EINTR) {
  }
  sigprocmask(SIG_SETMASK, &outside, nullptr);
  return !interrupted;
}

SignalPause::SignalPause() : active_(interactive) {
  if (active_) outside_ = block_signals();
}

SignalPause::~SignalPause() {
  if (active_) sigprocmask(SIG_SETMASK, &outside_, nullptr);
}

void SignalPause::pause() {
  if (active_ && !interrupted) sigsuspend(&outside_);
}

}  // namespace faultline::sh
