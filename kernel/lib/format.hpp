#pragma once
// Text from values: the part of std::format that a kernel needs, without allocation or exceptions.
//
//   format_to(sink, "hart {} at {:#018x}, {:>8} pages", id, address, pages)
//
// A replacement is {} or {:[<|>][#][0][width][x|o]}. The format string is checked against the arguments at
// compile time: a wrong number of arguments or a malformed replacement does not build.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace faultline {

/// Where text goes.
class TextSink {
 public:
  virtual void write(std::string_view text) = 0;

 protected:
  ~TextSink() = default;
};

/// Fills a span and drops what does not fit.
class SpanSink final : public TextSink {
 public:
  explicit SpanSink(std::span<char> space) : space_(space) {}
  void write(std::string_view text) override;
  std::string_view text() const { return {space_.data(), used_}; }
  bool truncated() const { return truncated_; }

 private:
  std::span<char> space_;
  std::size_t used_ = 0;
  bool truncated_ = false;
};

/// One value to be formatted.
class FormatArgument {
 public:
  FormatArgument(bool value) : FormatArgument(std::string_view(value ? "true" : "false")) {}
  FormatArgument(char value) : kind_(Kind::Character), number_(static_cast<unsigned char>(value)) {}
  template <std::signed_integral T>
  FormatArgument(T value)
      : kind_(value < 0 ? Kind::Negative : Kind::Number),
        number_(value < 0 ? -static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value)) {}
  template <std::unsigned_integral T>
  FormatArgument(T value) : kind_(Kind::Number), number_(value) {}
  template <class T>
    requires std::is_enum_v<T>
  FormatArgument(T value) : FormatArgument(static_cast<std::underlying_type_t<T>>(value)) {}
  FormatArgument(std::string_view value) : kind_(Kind::Text), text_(value) {}
  FormatArgument(const char* value) : FormatArgument(std::string_view(value)) {}
  FormatArgument(const void* value)
      : kind_(Kind::Pointer), number_(reinterpret_cast<std::uintptr_t>(value)) {}

 private:
  friend void format_arguments(TextSink&, std::string_view, std::span<const FormatArgument>);
  enum class Kind : std::uint8_t { Number, Negative, Character, Text, Pointer };
  Kind kind_;
  std::uint64_t number_ = 0;
  std::string_view text_;
};

namespace detail {
/// A replacement's layout, from the text between its braces.
struct FormatLayout {
  bool left = false, right = false, prefix = false, zeroes = false;
  std::uint8_t base = 10;
  std::size_t width = 0;
};

constexpr bool parse_layout(std::string_view text, FormatLayout& layout) {
  std::size_t i = 0;
  const auto accept = [&](char wanted) {
    const bool accepted = i < text.size() && text[i] == wanted;
    if (accepted) ++i;
    return accepted;
  };
  if (text.empty()) return true;
  if (!accept(':')) return false;
  if (accept('<')) {
    layout.left = true;
  } else if (accept('>')) {
    layout.right = true;
  }
  layout.prefix = accept('#');
  layout.zeroes = accept('0');
  while (i < text.size() && text[i] >= '0' && text[i] <= '9' && layout.width < 100) {
    layout.width = layout.width * 10 + static_cast<std::size_t>(text[i++] - '0');
  }
  if (accept('x')) {
    layout.base = 16;
  } else if (accept('o')) {
    layout.base = 8;
  }
  return i == text.size();
}

/// The number of replacements in `text`, or -1 when it is malformed. {{ and }} stand for braces.
constexpr int count_replacements(std::string_view text) {
  int count = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '{' && text[i] != '}') continue;
    if (i + 1 < text.size() && text[i + 1] == text[i]) {
      ++i;
      continue;
    }
    if (text[i] == '}') return -1;
    const std::size_t end = text.find('}', i);
    FormatLayout layout;
    if (end == std::string_view::npos || !parse_layout(text.substr(i + 1, end - i - 1), layout)) return -1;
    i = end;
    ++count;
  }
  return count;
}
}  // namespace detail

/// A format string whose replacements have been counted by the compiler.
template <class... Arguments>
class FormatString {
 public:
  template <std::convertible_to<std::string_view> Text>
  consteval FormatString(const Text& text) : text_(text) {
    if (detail::count_replacements(text_) != static_cast<int>(sizeof...(Arguments))) mismatch();
  }
  constexpr std::string_view text() const { return text_; }

 private:
  static void mismatch();  // not constexpr: reaching it in consteval is the compile error
  std::string_view text_;
};

void format_arguments(TextSink& sink, std::string_view text, std::span<const FormatArgument> arguments);

template <class... Arguments>
void format_to(TextSink& sink, FormatString<std::type_identity_t<Arguments>...> text,
               const Arguments&... arguments) {
  if constexpr (sizeof...(Arguments) == 0) {
    format_arguments(sink, text.text(), {});
  } else {
    const FormatArgument list[] = {FormatArgument(arguments)...};
    format_arguments(sink, text.text(), list);
  }
}

/// Formats into `space` and returns the text, cut off where the space ends.
template <class... Arguments>
std::string_view format_into(std::span<char> space, FormatString<std::type_identity_t<Arguments>...> text,
                             const Arguments&... arguments) {
  SpanSink sink(space);
  format_to(sink, text, arguments...);
  return sink.text();
}

}  // namespace faultline
