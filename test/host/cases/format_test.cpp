// kernel/lib: text from values, as std::format would write it.

#include "kernel/lib/format.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>

using namespace faultline;

TEST_SUITE_BEGIN("format");

namespace {

/// The text of one value.
template <class T>
std::string one(FormatString<std::type_identity_t<T>> text, const T& value) {
  std::array<char, 128> space;
  SpanSink sink(space);
  format_to(sink, text, value);
  CHECK_FALSE(sink.truncated());
  return std::string(sink.text());
}

enum class Color : std::uint8_t { Red = 3 };

}  // namespace

TEST_CASE("replacements stand where they are written, and doubled braces are braces") {
  std::array<char, 64> space;
  CHECK(format_into(space, "") == "");
  CHECK(format_into(space, "plain") == "plain");
  CHECK(format_into(space, "{} of {}", 3, "four") == "3 of four");
  CHECK(format_into(space, "{}{}", 1, 2) == "12");
  CHECK(format_into(space, "{{}} {{{}}} }}{{", 5) == "{} {5} }{");
}

TEST_CASE("each kind of value has its text") {
  CHECK(one("{}", 0) == "0");
  CHECK(one("{}", -1) == "-1");
  CHECK(one("{}", std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
  CHECK(one("{}", std::numeric_limits<std::uint64_t>::max()) == "18446744073709551615");
  CHECK(one("{}", true) == "true");
  CHECK(one("{}", false) == "false");
  CHECK(one("{}", 'x') == "x");
  CHECK(one("{}", std::string_view("text")) == "text");
  CHECK(one("{}", Color::Red) == "3");
  CHECK(one("{}", reinterpret_cast<const void*>(0x1f0)) == "0x1f0");
}

TEST_CASE("numbers have a base, and its prefix where # asks for it") {
  CHECK(one("{:x}", 0xbeefu) == "beef");
  CHECK(one("{:#x}", 0xbeefu) == "0xbeef");
  CHECK(one("{:o}", 0755) == "755");
  CHECK(one("{:#o}", 0755) == "0755");
  CHECK(one("{:#x}", 0) == "0x0");
  CHECK(one("{:#}", -7) == "-7");
}

TEST_CASE("a width fills numbers from the left, texts from the right, unless < or > says otherwise") {
  CHECK(one("{:5}|", 42) == "   42|");
  CHECK(one("{:<5}|", 42) == "42   |");
  CHECK(one("{:>5}|", 42) == "   42|");
  CHECK(one("{:5}|", -42) == "  -42|");
  CHECK(one("{:<5}|", -42) == "-42  |");
  CHECK(one("{:5}|", "ab") == "ab   |");
  CHECK(one("{:>5}|", "ab") == "   ab|");
  CHECK(one("{:<5}|", "ab") == "ab   |");
  CHECK(one("{:3}|", 'c') == "c  |");
  CHECK(one("{:>3}|", 'c') == "  c|");
  CHECK(one("{:>6}|", true) == "  true|");
  CHECK(one("{:12}|", 7) == "           7|");
}

TEST_CASE("zeroes fill behind sign and prefix") {
  CHECK(one("{:05}|", 42) == "00042|");
  CHECK(one("{:05}|", -42) == "-0042|");
  CHECK(one("{:#010x}", 0xffu) == "0x000000ff");
  CHECK(one("{:<05}|", 42) == "00042|");
}

TEST_CASE("what is wider than its width is not cut") {
  CHECK(one("{:2}", 12345) == "12345");
  CHECK(one("{:3}", -123) == "-123");
  CHECK(one("{:2}", "text") == "text");
}

TEST_CASE("text that does not fit is cut off, and the sink says so from then on") {
  std::array<char, 4> space;
  SpanSink sink(space);
  format_to(sink, "{}", 123);
  CHECK_FALSE(sink.truncated());
  format_to(sink, "{}", 456);
  CHECK(sink.truncated());
  CHECK(sink.text() == "1234");
  format_to(sink, "");
  sink.write("");
  CHECK(sink.truncated());
  CHECK(format_into(space, "{}", "exact") == "exac");
}

TEST_CASE("the compiler counts replacements and refuses malformed ones") {
  using detail::count_replacements;
  static_assert(count_replacements("{} {{}} {:>8}") == 2);
  static_assert(count_replacements("{:<#08x}") == 1);
  for (const char* malformed : {"{", "}", "{:q}", "{0}", "{:x8}", "{} }", "a{b"}) {
    CAPTURE(malformed);
    CHECK(count_replacements(malformed) == -1);
  }
}

TEST_SUITE_END();
