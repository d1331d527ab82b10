#include "user/bin/sh/source.hpp"

#include <errno.h>
#include <unistd.h>

#include "user/bin/sh/signals.hpp"

namespace faultline::sh {

int Source::peek() {
  if (position_ < text_.size()) return static_cast<unsigned char>(text_[position_]);
  if (fd_ < 0) return kEnd;
  if (!read_line()) return interrupted_ ? kInterrupted : kEnd;
  return static_cast<unsigned char>(text_[position_]);
}

int Source::next() {
  int c = peek();
  if (c < 0) return c;
  position_++;
  if (c == '\n') line_++;
  return c;
}

void Source::begin_command() {
  if (fd_ >= 0) {
    text_.erase(0, position_);
    position_ = 0;
  }
  continuing_ = false;
  interrupted_ = false;
  ended_ = false;
}

void Source::discard_line() {
  if (fd_ < 0) {
    position_ = text_.size();
    return;
  }
  size_t newline = text_.find('\n', position_);
  if (newline == std::string::npos) {
    position_ = text_.size();
  } else {
    position_ = newline + 1;
    line_++;
  }
}

std::string_view Source::slice(size_t begin, size_t end) const {
  std::string_view all = text_;
  if (begin >= all.size() || end <= begin) return {};
  return all.substr(begin, end - begin);
}

// Appends one line to the text; false at the end of the input or after an interrupt.
bool Source::read_line() {
  if (interrupted_ || ended_) return false;
  if (prompting_) {
    const char* prompt = continuing_ ? "> " : "$ ";
    if (write(STDERR_FILENO, prompt, 2) < 0) return false;
  }
  size_t before = text_.size();
  for (;;) {
    if (prompting_ && text_.size() == before && !wait_for_input(fd_)) {
      take_interrupt();
      text_.resize(before);
      interrupted_ = true;
      return false;
    }
    char c;
    ssize_t n = read(fd_, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      ended_ = true;
      break;
    }
    text_.push_back(c);
    if (c == '\n') break;
  }
  return text_.size() > before;
}

}  // namespace faultline::sh
