#pragma once
// Numbers in text. <charconv> would do, but is not freestanding: GCC 13 and later refuse it in a kernel.

#include <concepts>
#include <limits>
#include <optional>
#include <string_view>

namespace faultline {

/// The number that the whole of `text` writes in decimal digits; none for anything else, or when T cannot
/// hold it.
template <std::integral T>
constexpr std::optional<T> parse_decimal(std::string_view text) {
  if (text.empty()) return std::nullopt;
  T number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    const T digit = static_cast<T>(c - '0');
    if (number > (std::numeric_limits<T>::max() - digit) / 10) return std::nullopt;
    number = static_cast<T>(number * 10 + digit);
  }
  return number;
}

static_assert(parse_decimal<int>("0") == 0 && parse_decimal<int>("2147483647") == 2147483647);
static_assert(!parse_decimal<int>("2147483648") && !parse_decimal<int>("") && !parse_decimal<int>("-1"));
static_assert(!parse_decimal<int>("1x"));

}  // namespace faultline
