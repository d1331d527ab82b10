// Where the shell's program text comes from, one character at a time.
#pragma once

#include <string>
#include <string_view>

namespace faultline::sh {

// Either a text in memory or a descriptor that is read on demand.
//
// A descriptor is never read further than the line that is being parsed: the commands of that line may
// themselves read from it (`sh <script` where the script calls `read`).
class Source {
 public:
  enum class Prompting { No, Yes };
  static constexpr int kEnd = -1;
  static constexpr int kInterrupted = -2;  // Ctrl-C at the prompt

  explicit Source(std::string text) : text_(std::move(text)) {}
  Source(int fd, Prompting prompting) : fd_(fd), prompting_(prompting == Prompting::Yes) {}

  // The next character without taking it, kEnd or kInterrupted.
  int peek();
  int next();

  // Marks the start of a complete command: forgets the text before it, prompts with `$ ` from here.
  void begin_command();
  // Drops what is left of the line, after an error in it.
  void discard_line();
  // From now until begin_command(), lines continue a command: they are prompted for with `> `.
  void continue_command() { continuing_ = true; }

  size_t position() const { return position_; }
  // The text between two positions of the present command.
  std::string_view slice(size_t begin, size_t end) const;
  int line() const { return line_; }

 private:
  bool read_line();

  std::string text_;
  size_t position_ = 0;
  int fd_ = -1;
  bool prompting_ = false;
  bool continuing_ = false;
  bool ended_ = false;  // a terminal's end of input counts once: reading on would wait for more
  bool interrupted_ = false;
  int line_ = 1;
};

}  // namespace faultline::sh
