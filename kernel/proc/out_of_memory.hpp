#pragma once
// What happens when there is no frame left.

#include "kernel/lib/result.hpp"

namespace faultline {

/// Makes some memory free: drops clean pages of files, writes dirty ones back and drops them, gives up cached
/// kernel stacks. May sleep. False when there was nothing to give up.
bool relieve_memory();

/// Last resort: kills the process that holds the most memory, be it in pipes, and says so on the console. One
/// victim at a time: while one is on its way out nobody else is chosen. The caller lets it run, and then
/// tries again.
void kill_largest_process();

}  // namespace faultline
