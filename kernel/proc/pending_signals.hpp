#pragma once
// Signal numbers, sets of them, and the queue of signals that have been sent but not yet taken.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "kernel/lib/heap.hpp"
#include "kernel/lib/list.hpp"
#include "kernel/lib/panic.hpp"

namespace faultline {

/// Linux's numbers (asm-generic).
enum class Signal : std::uint8_t {
  Hangup = 1,
  Interrupt,
  Quit,
  IllegalInstruction,
  Trap,
  Abort,
  BusError,
  FloatingPoint,
  Kill,
  User1,
  Segmentation,
  User2,
  Pipe,
  Alarm,
  Terminate,
  StackFault,
  Child,
  Continue,
  Stop,
  TerminalStop,
  TerminalInput,
  TerminalOutput,
  Urgent,
  CpuLimit,
  FileSizeLimit,
  VirtualAlarm,
  Profile,
  WindowChange,
  Io,
  Power,
  BadSystemCall,
  FirstRealTime = 32,
  Last = 64,
};

inline constexpr unsigned kSignalCount = 64;

/// The signal with this number, or nothing when there is none.
constexpr std::optional<Signal> signal_from(std::int64_t number) {
  if (number < 1 || number > static_cast<std::int64_t>(kSignalCount)) return std::nullopt;
  return static_cast<Signal>(number);
}
constexpr unsigned number_of(Signal signal) { return static_cast<unsigned>(signal); }
constexpr bool is_real_time(Signal signal) { return signal >= Signal::FirstRealTime; }

/// A set of signals, as the 64-bit sigset_t of the system-call interface: bit n - 1 is signal n.
class SignalSet {
 public:
  constexpr SignalSet() = default;
  static constexpr SignalSet from_bits(std::uint64_t bits) {
    SignalSet set;
    set.bits_ = bits;
    return set;
  }
  template <class... Signals>
  static constexpr SignalSet of(Signals... signals) {
    return from_bits((bit(signals) | ...));
  }
  constexpr std::uint64_t bits() const { return bits_; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool contains(Signal signal) const { return (bits_ & bit(signal)) != 0; }
  constexpr void add(Signal signal) { bits_ |= bit(signal); }
  constexpr void remove(Signal signal) { bits_ &= ~bit(signal); }
  /// The member with the lowest number. The set is not empty.
  constexpr Signal first() const {
    ASSERT(bits_ != 0);
    return static_cast<Signal>(std::countr_zero(bits_) + 1);
  }

  friend constexpr SignalSet operator|(SignalSet a, SignalSet b) { return from_bits(a.bits_ | b.bits_); }
  friend constexpr SignalSet operator&(SignalSet a, SignalSet b) { return from_bits(a.bits_ & b.bits_); }
  friend constexpr SignalSet operator-(SignalSet a, SignalSet b) { return from_bits(a.bits_ & ~b.bits_); }
  friend constexpr bool operator==(SignalSet, SignalSet) = default;

 private:
  static constexpr std::uint64_t bit(Signal signal) { return std::uint64_t{1} << (number_of(signal) - 1); }
  std::uint64_t bits_ = 0;
};

/// SIGKILL and SIGSTOP can be neither blocked nor caught.
inline constexpr SignalSet kUnstoppableSignals = SignalSet::of(Signal::Kill, Signal::Stop);

/// Linux's siginfo_t, 128 bytes, as it is copied to the user.
struct SignalInfo {
  std::int32_t number = 0;
  std::int32_t error = 0;
  std::int32_t code = 0;
  std::int32_t padding = 0;
  union {
    struct {
      std::int32_t process;
      std::uint32_t user;
      std::uint64_t value;  // sigqueue's
    } sender;
    struct {
      std::int32_t process;
      std::uint32_t user;
      std::int32_t status;
      std::int64_t user_time;
      std::int64_t system_time;
    } child;
    struct {
      std::uint64_t address;
    } fault;
    struct {
      std::int64_t events;
      std::int32_t descriptor;
    } file;
    std::uint8_t bytes[112];
  };
  constexpr SignalInfo() : bytes{} {}
};
static_assert(sizeof(SignalInfo) == 128 && offsetof(SignalInfo, bytes) == 16);

/// si_code.
namespace signal_code {
inline constexpr std::int32_t kUser = 0;  // kill
inline constexpr std::int32_t kKernel = 0x80;
inline constexpr std::int32_t kThread = -6;  // tkill, tgkill
inline constexpr std::int32_t kExited = 1, kKilled = 2, kDumped = 3, kStopped = 5, kContinued = 6;  // SIGCHLD
inline constexpr std::int32_t kMapError = 1, kAccessError = 2;                                      // SIGSEGV
inline constexpr std::int32_t kAlignment = 1, kNoAddress = 2;                                       // SIGBUS
inline constexpr std::int32_t kIllegalOpcode = 1;                                                   // SIGILL
inline constexpr std::int32_t kBreakpoint = 1;                                                      // SIGTRAP
}  // namespace signal_code

/// Signals sent to one thread or to one process and not yet taken, with what their senders said. A standard
/// signal is pending at most once; real-time signals queue up. The caller holds process_lock.
class PendingSignals {
 public:
  PendingSignals() = default;
  ~PendingSignals() { discard(SignalSet::from_bits(~std::uint64_t{0})); }

  /// Adds one. A standard signal that is pending already stays as it is. When there is no memory for its
  /// information a standard signal becomes pending without, a real-time one gives TryAgain.
  [[nodiscard]] Result<> add(Signal signal, const SignalInfo& info);

  SignalSet set() const { return set_; }

  /// Removes and returns the first of the lowest signal in `wanted`, which is pending.
  SignalInfo take(SignalSet wanted);

  /// Drops every signal of `unwanted`.
  void discard(SignalSet unwanted);

 private:
  struct Queued : ListNode<> {
    SignalInfo info;
  };
  static constexpr unsigned kMaxQueued =
      256;  // of one process or thread: no sender can eat the kernel's memory

  SignalSet set_;
  unsigned queued_ = 0;
  List<Queued> queue_;
};

}  // namespace faultline
