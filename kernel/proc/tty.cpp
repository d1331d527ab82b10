#include "kernel/proc/tty.hpp"

#include <algorithm>

#include "kernel/dev/clock.hpp"
#include "kernel/dev/uart.hpp"
#include "kernel/fs/devfs.hpp"
#include "kernel/proc/line_discipline.hpp"
#include "kernel/proc/process_table.hpp"
#include "kernel/proc/signal.hpp"
#include "kernel/proc/user_memory.hpp"
#include "kernel/proc/user_thread.hpp"

namespace faultline {

namespace {

constexpr DeviceNumber kConsoleNumber{.major = 5, .minor = 1};
constexpr DeviceNumber kTerminalNumber{.major = 5, .minor = 0};
constexpr std::size_t kCopyBytes = 256;  // of one step between the user and the line

// Writes with output processing: a newline becomes return and newline. `write` takes a span of bytes.
template <class Write>
void process_output(std::span<const char> characters, std::uint32_t output_flags, Write write) {
  constexpr std::uint32_t kConverts = Termios::kPostProcess | Termios::kNewlineToReturnNewline;
  const bool converts = (output_flags & kConverts) == kConverts;
  while (!characters.empty()) {
    const auto newline = converts ? std::find(characters.begin(), characters.end(), '\n') : characters.end();
    const auto plain = static_cast<std::size_t>(newline - characters.begin());
    if (plain > 0) write(std::as_bytes(characters.first(plain)));
    if (newline == characters.end()) return;
    write(std::as_bytes(std::span("\r\n", 2)));
    characters = characters.subspan(plain + 1);
  }
}

/// The one terminal.
class Terminal final : public EchoSink {
 public:
  void receive(unsigned char byte);

  Result<std::size_t> read(IoBuffer& buffer, bool non_blocking);
  Result<std::size_t> write(IoBuffer& buffer);
  PollEvents poll(PollWaiter* waiter);
  AsyncFiles& async_files() { return async_files_; }
  Result<std::uint64_t> control(std::uint32_t request, std::uint64_t argument);

  void process_exited(Process& process);
  bool controls(const Process& process) const { return session_.get() == process.group->session.get(); }
  ProcessId foreground() const { return foreground_; }

  void echo(std::span<const char> characters) override;

 private:
  Result<> wait_for_input(SpinGuard& guard, std::size_t wanted, bool non_blocking);
  Result<> may_read();
  Result<> may_change();
  Result<> stop_background(Signal signal);
  Result<std::uint64_t> set_settings(std::uint64_t argument, bool flush);
  Result<> take_control();
  Result<> give_up_control();
  Result<> set_foreground(ProcessId group);
  Result<std::uint64_t> control_jobs(std::uint32_t request, std::uint64_t argument);

  // Under process_lock. foreground_ is the number of a group of session_.
  Ref<Session> session_;
  ProcessId foreground_ = 0;

  SpinLock lock_{LockRank::FileSystem};
  LineDiscipline line_;  // under lock_, as the following
  WindowSize window_;
  WaitQueue readers_;
  PollQueue pollers_;
  AsyncFiles async_files_;
};

Terminal terminal;

void Terminal::echo(std::span<const char> characters) {
  process_output(characters, line_.settings.output,
                 [](std::span<const std::byte> bytes) { (void)uart::try_write(bytes); });
}

void Terminal::receive(unsigned char byte) {
  std::optional<Signal> signal;
  bool readable;
  {
    SpinGuard guard(lock_);
    signal = line_.receive(byte, *this);
    readable = line_.readable();
    if (readable) {
      readers_.wake_all();
      pollers_.notify();
    }
  }
  if (readable) async_files_.notify(FileEvent::Readable);
  if (!signal) return;
  SpinGuard guard(process_lock);
  if (ProcessGroup* group = session_ ? process_table.find_group(foreground_) : nullptr) {
    signals::send(*group, *signal, guard);
  }
}

// A process of another group than the foreground's is stopped with its group, or told that it cannot be.
Result<> Terminal::stop_background(Signal signal) {
  Process& process = Process::current();
  SpinGuard guard(process_lock);
  if (session_.get() != process.group->session.get() || process.group->id == foreground_) return {};
  const UserThread& thread = UserThread::current();
  const bool ignored = thread.blocked.contains(signal) || process.actions->ignores(signal);
  if (ignored && signal == Signal::TerminalOutput) return {};
  if (ignored || signals::is_orphaned(*process.group, guard)) return failure(KernelError::InputOutput);
  signals::send(*process.group, signal, guard);
  return failure(KernelError::Interrupted);
}

Result<> Terminal::may_read() { return stop_background(Signal::TerminalInput); }
Result<> Terminal::may_change() { return stop_background(Signal::TerminalOutput); }

// Outside canonical mode MIN and TIME decide (POSIX 11.1.7): MIN bytes; with TIME at most so many tenths of a
// second since the last byte, or since the call when MIN is 0.
Result<> Terminal::wait_for_input(SpinGuard& guard, std::size_t wanted, bool non_blocking) {
  const bool canonical = (line_.settings.local & Termios::kCanonical) != 0;
  const auto& characters = line_.settings.control_characters;
  const std::size_t minimum = canonical ? 1 : std::min<std::size_t>(characters[Termios::Minimum], wanted);
  const std::uint64_t tenths = canonical ? 0 : characters[Termios::Time];
  std::size_t seen = line_.available();
  while (!line_.readable() || (!canonical && line_.available() < minimum)) {
    if (non_blocking) return line_.readable() ? Result<>() : failure(KernelError::TryAgain);
    if (minimum == 0 && tenths == 0) return {};
    const bool timed = tenths != 0 && (minimum == 0 || seen > 0);
    const Ticks deadline =
        timed ? clock::now() + clock::from_nanoseconds(tenths * 100'000'000) : Ticks::forever();
    const Result<> slept = readers_.sleep_interruptible_until(guard, deadline);
    if (!slept && slept.error() == KernelError::TimedOut) return {};
    if (!slept) return line_.readable() && !canonical ? Result<>() : slept;
    seen = line_.available();
  }
  return {};
}

Result<std::size_t> Terminal::read(IoBuffer& buffer, bool non_blocking) {
  const std::size_t before = buffer.transferred();
  if (buffer.remaining() == 0) return 0;
  TRY(may_read());
  std::array<char, kCopyBytes> characters;
  for (bool more = true; more;) {
    const std::size_t wanted = std::min(characters.size(), buffer.remaining());
    std::size_t count;
    {
      SpinGuard guard(lock_);
      if (buffer.transferred() == before) TRY(wait_for_input(guard, wanted, non_blocking));
      count = line_.read(std::span(characters).first(wanted));
      // A line, or what there is, has been taken when it did not fill the step, or just did.
      more = count == wanted && characters[count - 1] != '\n' && line_.readable();
    }
    // The copy may sleep, so it is made without the lock; another reader may get what follows.
    const Result<> copied = buffer.put(std::as_bytes(std::span(characters)).first(count));
    if (!copied) return buffer.outcome(before, copied);
    more = more && buffer.remaining() > 0;
  }
  return buffer.transferred() - before;
}

Result<std::size_t> Terminal::write(IoBuffer& buffer) {
  const std::size_t before = buffer.transferred();
  std::uint32_t flags;
  bool stops;
  {
    SpinGuard guard(lock_);
    flags = line_.settings.output;
    stops = (line_.settings.local & Termios::kStopBackgroundOutput) != 0;
  }
  if (stops) TRY(may_change());
  std::array<char, kCopyBytes> characters;
  while (buffer.remaining() > 0) {
    const std::size_t count = std::min(characters.size(), buffer.remaining());
    const Result<> copied = buffer.get(std::as_writable_bytes(std::span(characters)).first(count));
    if (!copied) return buffer.outcome(before, copied);
    process_output(std::span(characters).first(count), flags, uart::write);
  }
  return buffer.transferred() - before;
}

PollEvents Terminal::poll(PollWaiter* waiter) {
  if (waiter != nullptr) waiter->watch(pollers_);
  SpinGuard guard(lock_);
  PollEvents events = PollEvents::kWritable;
  if (line_.readable()) events = events | PollEvents::kReadable;
  return events;
}

Result<std::uint64_t> Terminal::set_settings(std::uint64_t argument, bool flush) {
  const Termios settings = TRY(UserPointer<Termios>(argument).read());
  TRY(may_change());
  SpinGuard guard(lock_);
  if (flush) line_.discard_input();
  line_.change_settings(settings);
  readers_.wake_all();
  return 0;
}

Result<std::uint64_t> Terminal::control(std::uint32_t request, std::uint64_t argument) {
  using namespace terminal_request;
  switch (request) {
    case kGetSettings: {
      SpinGuard guard(lock_);
      const Termios settings = line_.settings;
      guard.release();
      TRY(UserPointer<Termios>(argument).write(settings));
      return 0;
    }
    case kSetSettings:
    case kSetAfterOutput:
      return set_settings(argument, false);
    case kSetAndFlush:
      return set_settings(argument, true);
    case kGetWindowSize: {
      SpinGuard guard(lock_);
      const WindowSize window = window_;
      guard.release();
      TRY(UserPointer<WindowSize>(argument).write(window));
      return 0;
    }
    case kSetWindowSize: {
      const WindowSize window = TRY(UserPointer<WindowSize>(argument).read());
      SpinGuard guard(lock_);
      window_ = window;
      return 0;
    }
    case kInputQueued: {
      SpinGuard guard(lock_);
      const auto count = static_cast<std::int32_t>(line_.available());
      guard.release();
      TRY(UserPointer<std::int32_t>(argument).write(count));
      return 0;
    }
    case kOutputQueued: {
      TRY(UserPointer<std::int32_t>(argument).write(0));
      return 0;
    }
    case kFlush: {
      constexpr std::uint64_t kOutputOnly = 1;
      SpinGuard guard(lock_);
      if (argument != kOutputOnly) line_.discard_input();
      return 0;
    }
    case kSendBreak:
      return 0;
    default:
      return control_jobs(request, argument);
  }
}

Result<std::uint64_t> Terminal::control_jobs(std::uint32_t request, std::uint64_t argument) {
  using namespace terminal_request;
  switch (request) {
    case kSetControlling:
      TRY(take_control());
      return 0;
    case kGiveUpControlling:
      TRY(give_up_control());
      return 0;
    case kSetGroup: {
      const ProcessId group = TRY(UserPointer<ProcessId>(argument).read());
      TRY(may_change());
      TRY(set_foreground(group));
      return 0;
    }
    case kGetGroup:
    case kGetSession: {
      ProcessId id;
      {
        SpinGuard guard(process_lock);
        if (!controls(Process::current())) return failure(KernelError::NotTerminal);
        id = request == kGetGroup ? foreground_ : session_->id;
      }
      TRY(UserPointer<ProcessId>(argument).write(id));
      return 0;
    }
    default:
      return failure(KernelError::NotTerminal);
  }
}

Result<> Terminal::take_control() {
  Process& process = Process::current();
  SpinGuard guard(process_lock);
  const Ref<Session>& session = process.group->session;
  if (session_ == session) return {};
  if (session->id != process.id || session_) return failure(KernelError::NotPermitted);
  session_ = session;
  foreground_ = process.group->id;
  return {};
}

Result<> Terminal::give_up_control() {
  Process& process = Process::current();
  {
    SpinGuard guard(process_lock);
    if (!controls(process)) return failure(KernelError::NotTerminal);
  }
  process_exited(process);
  return {};
}

Result<> Terminal::set_foreground(ProcessId id) {
  SpinGuard guard(process_lock);
  if (!controls(Process::current())) return failure(KernelError::NotTerminal);
  if (id < 0) return failure(KernelError::InvalidArgument);
  const ProcessGroup* group = process_table.find_group(id);
  if (group == nullptr) return failure(KernelError::NoSuchProcess);
  if (group->session != session_) return failure(KernelError::NotPermitted);
  foreground_ = id;
  return {};
}

void Terminal::process_exited(Process& process) {
  SpinGuard guard(process_lock);
  if (!controls(process) || session_->id != process.id) return;
  if (ProcessGroup* group = process_table.find_group(foreground_)) {
    signals::send(*group, Signal::Hangup, guard);
    signals::send(*group, Signal::Continue, guard);
  }
  session_ = nullptr;
  foreground_ = 0;
}

/// An opened /dev/console or /dev/tty.
class TerminalFile final : public OpenFile {
 public:
  using OpenFile::OpenFile;
  bool seekable() const override { return false; }
  PollEvents poll(PollWaiter* waiter) override { return terminal.poll(waiter); }
  AsyncFiles* async_files() override { return &terminal.async_files(); }
  Result<std::uint64_t> control(std::uint32_t request, std::uint64_t argument) override {
    return terminal.control(request, argument);
  }

 protected:
  Result<std::size_t> do_read(std::uint64_t, IoBuffer& buffer) override {
    return terminal.read(buffer, flags().has(OpenFlags::kNonBlocking));
  }
  Result<std::size_t> do_write(std::uint64_t&, IoBuffer& buffer, bool) override {
    return terminal.write(buffer);
  }
};

Result<Ref<OpenFile>> open_console(Ref<Inode> inode, OpenFlags flags) {
  return TRY(make_ref<TerminalFile>(std::move(inode), flags));
}

// /dev/tty is whatever terminal controls the process.
Result<Ref<OpenFile>> open_controlling_terminal(Ref<Inode> inode, OpenFlags flags) {
  {
    SpinGuard guard(process_lock);
    if (!terminal.controls(Process::current())) return failure(KernelError::NoSuchAddress);
  }
  return open_console(std::move(inode), flags);
}

}  // namespace

namespace tty {

void receive(std::byte byte) { terminal.receive(static_cast<unsigned char>(byte)); }

Result<> initialize() {
  TRY(register_character_device("console", kConsoleNumber, 0600, open_console));
  return register_character_device("tty", kTerminalNumber, 0666, open_controlling_terminal);
}

void session_member_exited(Process& process) { terminal.process_exited(process); }

int foreground_group(const Process& process) {
  return terminal.controls(process) ? terminal.foreground() : -1;
}

}  // namespace tty
}  // namespace faultline
