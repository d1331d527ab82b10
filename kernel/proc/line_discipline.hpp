#pragma once
// What happens to typed characters before a program reads them (POSIX 11.1, general terminal interface): line
// editing, echo, and which of them are not input but signals.
//
// Plain data and logic: the terminal (tty.cpp) holds the lock, sends the signals and wakes the readers.

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "kernel/proc/pending_signals.hpp"
#include "kernel/proc/termios.hpp"

namespace faultline {

/// Receives what is to appear on the screen, output processing still to be done.
class EchoSink {
 public:
  virtual void echo(std::span<const char> characters) = 0;

 protected:
  ~EchoSink() = default;
};

class LineDiscipline {
 public:
  Termios settings;

  /// One received byte. Returns the signal that the foreground group gets, if any.
  std::optional<Signal> receive(unsigned char byte, EchoSink& screen);

  /// True when a read would return at once: a line in canonical mode, any byte otherwise.
  bool readable() const;
  /// Bytes that a read could take now.
  std::size_t available() const;
  /// Moves input to `bytes` and returns how many: at most one line in canonical mode. An end-of-file
  /// character ends a read and is not part of it, so 0 after readable() means end of file.
  std::size_t read(std::span<char> bytes);

  /// Takes over new settings; what has been typed so far stays.
  void change_settings(const Termios& changed);
  void discard_input();

 private:
  // Positions count up for ever; a position's place is its remainder.
  //     read_ <= line_end_ <= write_: [read_, line_end_) is complete, [line_end_, write_) is the line being
  //     edited
  static constexpr std::size_t kCapacity = 4096;

  bool has(std::uint32_t local_flag) const { return (settings.local & local_flag) != 0; }
  bool is(unsigned char byte, Termios::Index index) const {
    return byte != Termios::kDisabled && settings.control_characters[index] == byte;
  }
  std::optional<Signal> signal_of(unsigned char byte) const;
  bool edit(unsigned char byte, EchoSink& screen);
  bool ends_line(unsigned char byte) const;
  void store(unsigned char byte, bool delimiter);
  void echo(unsigned char byte, EchoSink& screen) const;
  void erase_one(EchoSink& screen);
  void erase_word(EchoSink& screen);
  void erase_line(EchoSink& screen);
  char& at(std::size_t position) { return characters_[position % kCapacity]; }

  std::array<char, kCapacity> characters_;
  std::bitset<kCapacity> delimiters_;  // of complete lines
  std::size_t read_ = 0;
  std::size_t line_end_ = 0;
  std::size_t write_ = 0;
  bool literal_next_ = false;
};

}  // namespace faultline
