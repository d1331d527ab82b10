#include "kernel/fs/file_signals.hpp"

#include "kernel/lib/spin_lock.hpp"

namespace faultline {

namespace {
constinit SpinLock lock{LockRank::FileSignals};
}

Ref<FileOwner> FileSignals::owner() const {
  const SpinGuard guard(lock);
  return owner_;
}

void FileSignals::set_owner(Ref<FileOwner> owner) {
  SpinGuard guard(lock);
  std::swap(owner_, owner);
  guard.release();
}

std::uint8_t FileSignals::signal() const {
  const SpinGuard guard(lock);
  return signal_;
}

void FileSignals::set_signal(std::uint8_t number) {
  const SpinGuard guard(lock);
  signal_ = number;
}

void FileSignals::tell(FileEvent event, int descriptor) const {
  const SpinGuard guard(lock);
  if (owner_) owner_->tell({.event = event, .descriptor = descriptor, .signal = signal_});
}

void FileSignals::stop() {
  const SpinGuard guard(lock);
  if (linked()) unlink();
}

void AsyncFiles::add(FileSignals& file, int descriptor, bool reads, bool writes) {
  const SpinGuard guard(lock);
  if (!file.linked()) files_.push_back(file);
  file.descriptor_ = descriptor;
  file.reads_ = reads;
  file.writes_ = writes;
  any_.store(true, std::memory_order_relaxed);
}

void AsyncFiles::tell(FileEvent event) {
  const SpinGuard guard(lock);
  for (const FileSignals& file : files_) {
    const bool concerned = event == FileEvent::Readable ? file.reads_ : file.writes_;
    if (concerned && file.owner_)
      file.owner_->tell({.event = event, .descriptor = file.descriptor_, .signal = file.signal_});
  }
}

}  // namespace faultline
