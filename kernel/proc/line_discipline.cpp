#include "kernel/proc/line_discipline.hpp"

#include <algorithm>

namespace faultline {

namespace {

constexpr unsigned char kDelete = 127, kBackspace = 8;

bool is_control(unsigned char byte) { return byte < ' ' || byte == kDelete; }
bool is_shown_as_control(unsigned char byte) { return is_control(byte) && byte != '\n' && byte != '\t'; }
bool is_blank(char character) { return character == ' ' || character == '\t'; }
// Bytes of a UTF-8 character behind its first.
bool continues_character(char character) { return (static_cast<unsigned char>(character) & 0xc0) == 0x80; }

constexpr char kRubOut[] = {'\b', ' ', '\b'};

}  // namespace

std::optional<Signal> LineDiscipline::signal_of(unsigned char byte) const {
  if (!has(Termios::kSignals)) return std::nullopt;
  if (is(byte, Termios::Interrupt)) return Signal::Interrupt;
  if (is(byte, Termios::Quit)) return Signal::Quit;
  if (is(byte, Termios::Suspend)) return Signal::TerminalStop;
  return std::nullopt;
}

std::optional<Signal> LineDiscipline::receive(unsigned char byte, EchoSink& screen) {
  if ((settings.input & Termios::kStripBit) != 0) byte &= 0x7f;
  const bool literal = std::exchange(literal_next_, false);
  if (!literal) {
    if (byte == '\r') {
      if ((settings.input & Termios::kIgnoreReturn) != 0) return std::nullopt;
      if ((settings.input & Termios::kReturnToNewline) != 0) byte = '\n';
    } else if (byte == '\n' && (settings.input & Termios::kNewlineToReturn) != 0) {
      byte = '\r';
    }
    if (const std::optional<Signal> signal = signal_of(byte)) {
      if (!has(Termios::kNoFlush)) discard_input();
      echo(byte, screen);
      return signal;
    }
    if (has(Termios::kCanonical) && edit(byte, screen)) return std::nullopt;
  }
  const bool delimiter = !literal && has(Termios::kCanonical) && ends_line(byte);
  // The last place is kept for the end of the line: a line that is too long is cut, not lost.
  const std::size_t limit = delimiter ? kCapacity : kCapacity - 1;
  if (write_ - read_ >= limit) return std::nullopt;
  echo(byte, screen);
  store(byte, delimiter);
  return std::nullopt;
}

// Canonical mode's editing characters. True when the byte was one.
bool LineDiscipline::edit(unsigned char byte, EchoSink& screen) {
  if (is(byte, Termios::Erase) || byte == kBackspace) {
    erase_one(screen);
  } else if (is(byte, Termios::Kill)) {
    erase_line(screen);
  } else if (is(byte, Termios::WordErase) && has(Termios::kExtended)) {
    erase_word(screen);
  } else if (is(byte, Termios::LiteralNext) && has(Termios::kExtended)) {
    literal_next_ = true;
  } else if (is(byte, Termios::EndOfFile)) {
    if (write_ - read_ < kCapacity) store(Termios::kDisabled, true);
  } else {
    return false;
  }
  return true;
}

bool LineDiscipline::ends_line(unsigned char byte) const {
  return byte == '\n' || is(byte, Termios::EndOfLine) || is(byte, Termios::EndOfLine2);
}

void LineDiscipline::store(unsigned char byte, bool delimiter) {
  delimiters_[write_ % kCapacity] = delimiter;
  at(write_++) = static_cast<char>(byte);
  if (delimiter || !has(Termios::kCanonical)) line_end_ = write_;
}

void LineDiscipline::echo(unsigned char byte, EchoSink& screen) const {
  if (!has(Termios::kEcho)) {
    if (byte != '\n' || !has(Termios::kEchoNewline) || !has(Termios::kCanonical)) return;
  }
  if (has(Termios::kEchoControl) && is_shown_as_control(byte)) {
    const char shown[] = {'^', static_cast<char>(byte ^ 0x40)};
    screen.echo(shown);
  } else {
    const char shown[] = {static_cast<char>(byte)};
    screen.echo(shown);
  }
}

void LineDiscipline::erase_one(EchoSink& screen) {
  if (write_ == line_end_) return;
  while (write_ - 1 > line_end_ && continues_character(at(write_ - 1))) --write_;
  const auto erased = static_cast<unsigned char>(at(--write_));
  if (!has(Termios::kEcho) || !has(Termios::kEchoErase)) return;
  screen.echo(kRubOut);
  if (has(Termios::kEchoControl) && is_shown_as_control(erased)) screen.echo(kRubOut);
}

void LineDiscipline::erase_word(EchoSink& screen) {
  while (write_ > line_end_ && is_blank(at(write_ - 1))) erase_one(screen);
  while (write_ > line_end_ && !is_blank(at(write_ - 1))) erase_one(screen);
}

void LineDiscipline::erase_line(EchoSink& screen) {
  if (has(Termios::kEchoErase) && has(Termios::kEchoKillErases)) {
    while (write_ > line_end_) erase_one(screen);
    return;
  }
  write_ = line_end_;
  echo(settings.control_characters[Termios::Kill], screen);
  if (has(Termios::kEcho) && has(Termios::kEchoKill)) echo('\n', screen);
}

bool LineDiscipline::readable() const { return read_ < line_end_; }

std::size_t LineDiscipline::available() const { return line_end_ - read_; }

std::size_t LineDiscipline::read(std::span<char> bytes) {
  std::size_t count = 0;
  while (count < bytes.size() && read_ < line_end_) {
    const bool delimiter = has(Termios::kCanonical) && delimiters_[read_ % kCapacity];
    const char character = at(read_++);
    if (delimiter && character == Termios::kDisabled) break;
    bytes[count++] = character;
    if (delimiter) break;
  }
  return count;
}

void LineDiscipline::change_settings(const Termios& changed) {
  const bool mode_changes = ((settings.local ^ changed.local) & Termios::kCanonical) != 0;
  settings = changed;
  if (!mode_changes) return;
  line_end_ = write_;
  literal_next_ = false;
}

void LineDiscipline::discard_input() {
  read_ = line_end_ = write_;
  literal_next_ = false;
}

}  // namespace faultline
