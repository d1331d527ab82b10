#pragma once
// /proc/sys: what of the kernel one can set while it runs, with the names and meanings of Linux
// (Documentation/admin-guide/sysctl).

#include "kernel/fs/inode.hpp"

namespace faultline::proc {

/// The directory /proc/sys, or one below it by its inode number. NoSuchFile when there is none.
Result<Ref<Inode>> settings_directory(std::uint64_t number);

}  // namespace faultline::proc
