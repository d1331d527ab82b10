#include "kernel/proc/pending_signals.hpp"

namespace faultline {

Result<> PendingSignals::add(Signal signal, const SignalInfo& info) {
  if (!is_real_time(signal) && set_.contains(signal)) return {};
  Result<Box<Queued>> node = failure(KernelError::TryAgain);
  if (queued_ < kMaxQueued) node = make_box<Queued>();
  if (node) {
    (*node)->info = info;
    queue_.push_back(*node->release());
    ++queued_;
  } else if (is_real_time(signal)) {
    return failure(KernelError::TryAgain);
  }
  set_.add(signal);
  return {};
}

SignalInfo PendingSignals::take(SignalSet wanted) {
  const Signal signal = (set_ & wanted).first();
  // What is taken when the sender's information could not be kept.
  SignalInfo info;
  info.number = static_cast<std::int32_t>(number_of(signal));
  bool found = false;
  bool another = false;
  for (auto i = queue_.begin(); i != queue_.end();) {
    Queued& queued = *i++;
    if (queued.info.number != info.number) continue;
    if (found) {
      another = true;
      break;
    }
    info = queued.info;
    found = true;
    queued.unlink();
    --queued_;
    Box<Queued>{&queued}.reset();
  }
  if (!another) set_.remove(signal);
  return info;
}

void PendingSignals::discard(SignalSet unwanted) {
  for (auto i = queue_.begin(); i != queue_.end();) {
    Queued& queued = *i++;
    if (!unwanted.contains(static_cast<Signal>(queued.info.number))) continue;
    queued.unlink();
    --queued_;
    Box<Queued>{&queued}.reset();
  }
  set_ = set_ - unwanted;
}

}  // namespace faultline
