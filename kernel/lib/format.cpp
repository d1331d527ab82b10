#include "kernel/lib/format.hpp"

#include <algorithm>
#include <array>

namespace faultline {

void SpanSink::write(std::string_view text) {
  const std::size_t fitting = std::min(text.size(), space_.size() - used_);
  std::copy_n(text.data(), fitting, space_.data() + used_);
  used_ += fitting;
  truncated_ |= fitting < text.size();
}

namespace {

void write_repeated(TextSink& sink, char character, std::size_t count) {
  const std::string_view one(&character, 1);
  for (; count > 0; --count) sink.write(one);
}

void write_padded(TextSink& sink, std::string_view text, std::size_t width, bool left) {
  const std::size_t padding = width > text.size() ? width - text.size() : 0;
  if (!left) write_repeated(sink, ' ', padding);
  sink.write(text);
  if (left) write_repeated(sink, ' ', padding);
}

void write_number(TextSink& sink, std::uint64_t number, bool negative, const detail::FormatLayout& layout) {
  std::array<char, 32> space;
  std::size_t start = space.size();
  do {
    space[--start] = "0123456789abcdef"[number % layout.base];
    number /= layout.base;
  } while (number != 0);
  std::string_view sign = negative ? "-" : "";
  if (layout.prefix) sign = layout.base == 16 ? "0x" : layout.base == 8 ? "0" : sign;
  const std::string_view digits(space.data() + start, space.size() - start);
  const std::size_t length = sign.size() + digits.size();
  const std::size_t padding = layout.width > length ? layout.width - length : 0;
  if (!layout.zeroes && !layout.left) write_repeated(sink, ' ', padding);
  sink.write(sign);
  if (layout.zeroes) write_repeated(sink, '0', padding);
  sink.write(digits);
  if (layout.left && !layout.zeroes) write_repeated(sink, ' ', padding);
}

}  // namespace

void format_arguments(TextSink& sink, std::string_view text, std::span<const FormatArgument> arguments) {
  std::size_t next = 0;
  while (!text.empty()) {
    const std::size_t brace = std::min(text.find_first_of("{}"), text.size());
    sink.write(text.substr(0, brace));
    text.remove_prefix(brace);
    if (text.empty()) return;
    if (text.size() > 1 && text[1] == text[0]) {
      sink.write(text.substr(0, 1));
      text.remove_prefix(2);
      continue;
    }
    const std::size_t end = text.find('}');
    detail::FormatLayout layout;
    // The compiler has checked the text; what it cannot have checked is printed as it stands.
    if (end == std::string_view::npos || next == arguments.size() ||
        !detail::parse_layout(text.substr(1, end - 1), layout)) {
      sink.write(text);
      return;
    }
    text.remove_prefix(end + 1);
    const FormatArgument& argument = arguments[next++];
    const char character = static_cast<char>(argument.number_);
    switch (argument.kind_) {
      case FormatArgument::Kind::Text:
        write_padded(sink, argument.text_, layout.width, !layout.right);
        break;
      case FormatArgument::Kind::Character:
        write_padded(sink, std::string_view(&character, 1), layout.width, !layout.right);
        break;
      case FormatArgument::Kind::Pointer:
        layout.base = 16;
        layout.prefix = true;
        [[fallthrough]];
      case FormatArgument::Kind::Number:
        write_number(sink, argument.number_, false, layout);
        break;
      case FormatArgument::Kind::Negative:
        write_number(sink, argument.number_, true, layout);
        break;
    }
  }
}

}  // namespace faultline
