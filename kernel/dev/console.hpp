#pragma once
// The kernel's own messages, on the serial line. They are written by polling, after what programs have
// queued, so that they are out even if the next instruction is the last.

#include <type_traits>

#include "kernel/lib/format.hpp"

namespace faultline {

namespace console {
void print_arguments(std::string_view text, std::span<const FormatArgument> arguments);

/// For panics only: takes no lock.
TextSink& panic_sink();
}  // namespace console

/// Prints to the console; a newline is the caller's. One call's text is not interleaved with another's. For
/// messages, not for programs' output. Sleeps never; safe under any lock whose rank is below
/// LockRank::Console.
template <class... Arguments>
void print(FormatString<std::type_identity_t<Arguments>...> text, const Arguments&... arguments) {
  if constexpr (sizeof...(Arguments) == 0) {
    console::print_arguments(text.text(), {});
  } else {
    const FormatArgument list[] = {FormatArgument(arguments)...};
    console::print_arguments(text.text(), list);
  }
}

}  // namespace faultline
