#pragma once
// What a process does with each signal (sigaction).

#include <array>

#include "kernel/lib/ref.hpp"
#include "kernel/proc/pending_signals.hpp"

namespace faultline {

/// Linux's struct sigaction on RISC-V, which has no restorer: the kernel maps the code that handlers return
/// to.
struct SignalAction {
  static constexpr std::uint64_t kDefault = 0, kIgnore = 1;  // SIG_DFL, SIG_IGN
  static constexpr std::uint64_t kNoChildStop = 1, kNoChildWait = 2, kInfo = 4, kOnStack = 0x0800'0000,
                                 kRestart = 0x1000'0000, kNoDefer = 0x4000'0000, kResetHandler = 0x8000'0000;

  std::uint64_t handler = kDefault;
  std::uint64_t flags = 0;
  SignalSet mask;
};
static_assert(sizeof(SignalAction) == 24);

/// What a signal does when its action is the default.
enum class DefaultAction : std::uint8_t { Terminate, Ignore, Stop, Continue };

constexpr DefaultAction default_action(Signal signal) {
  switch (signal) {
    case Signal::Child:
    case Signal::Urgent:
    case Signal::WindowChange:
      return DefaultAction::Ignore;
    case Signal::Continue:
      return DefaultAction::Continue;
    case Signal::Stop:
    case Signal::TerminalStop:
    case Signal::TerminalInput:
    case Signal::TerminalOutput:
      return DefaultAction::Stop;
    default:
      return DefaultAction::Terminate;
  }
}

/// The actions of one process, or of several that were cloned with CLONE_SIGHAND. Under process_lock.
class SignalActions : public RefCounted {
 public:
  SignalActions() = default;

  const SignalAction& of(Signal signal) const { return actions_[number_of(signal) - 1]; }
  void set(Signal signal, const SignalAction& action) { actions_[number_of(signal) - 1] = action; }

  /// True when sending the signal has no effect at all.
  bool ignores(Signal signal) const {
    const std::uint64_t handler = of(signal).handler;
    return handler == SignalAction::kIgnore ||
           (handler == SignalAction::kDefault && default_action(signal) == DefaultAction::Ignore);
  }

  /// exec: caught signals go back to the default, ignored ones stay ignored.
  void reset_handlers() {
    for (SignalAction& action : actions_) {
      const bool ignored = action.handler == SignalAction::kIgnore;
      action = SignalAction();
      if (ignored) action.handler = SignalAction::kIgnore;
    }
  }
  void copy_from(const SignalActions& other) { actions_ = other.actions_; }

 private:
  std::array<SignalAction, kSignalCount> actions_ = {};
};

}  // namespace faultline
