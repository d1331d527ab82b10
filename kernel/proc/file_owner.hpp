#pragma once
// Who is sent the signals about an open file (F_SETOWN).

#include "kernel/fs/file_signals.hpp"

namespace faultline {

/// The owner with this name, on the authority of the current process; none for the number 0. Errors:
/// NoSuchProcess, OutOfMemory.
[[nodiscard]] Result<Ref<FileOwner>> make_file_owner(FileOwnerName name);

}  // namespace faultline
