#pragma once
// Kernel panics in host tests. A panic ends the process, since the invariants that it found broken would
// break everything after it; a test that expects one lets a child process run into it.

#include <functional>
#include <optional>
#include <string>

namespace faultline::sim {

/// Runs the function in a forked child. The panic's message, or nothing if the child returned without one.
std::optional<std::string> panic_of(const std::function<void()>& function);

}  // namespace faultline::sim
