#pragma once
// /proc: text made at the moment of reading. Where the numbers come from: proc_source.hpp.

#include "kernel/fs/file_system.hpp"
#include "kernel/fs/proc_source.hpp"

namespace faultline {

/// Error: OutOfMemory.
[[nodiscard]] Result<FileSystem*> start_process_file_system();

}  // namespace faultline
