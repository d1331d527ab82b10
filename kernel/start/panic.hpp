#pragma once
// The machine's side of panic (lib/panic.hpp).

namespace faultline {

/// Parks the current hart because another one has panicked.
[[noreturn]] void stop_this_hart();

}  // namespace faultline
