#pragma once
// What happens when there is no frame left, and nothing that could be given up (fs/memory_relief.hpp).

namespace faultline {

/// Last resort: kills the process that holds the most memory, be it in pipes, and says so on the console. One
/// victim at a time: while one is on its way out nobody else is chosen. The caller lets it run, and then
/// tries again.
void kill_largest_process();

}  // namespace faultline
