#pragma once
// Leases (F_SETLEASE): the owner of an open file is told before the file is opened, or cut off, by somebody
// else in a way that the lease is against, and has some time to give it up. A read lease is against writers,
// a write lease against everybody.

#include <cstdint>

#include "kernel/fs/open_file.hpp"

namespace faultline {

/// The numbers are F_RDLCK and so on.
enum class Lease : std::uint8_t { Read = 0, Write = 1, None = 2 };

/// Takes, changes or gives up (None) the lease of an open file. Its owner is told of `descriptor`; `holder`
/// becomes the owner if there is none. Errors: TryAgain, when the file is open in a way that the lease is
/// against, or there is none to give up; OutOfMemory.
[[nodiscard]] Result<> set_lease(OpenFile& file, int descriptor, Lease wanted, Ref<FileOwner> holder);

/// The lease of an open file; once it is to end, what it is to become.
Lease lease_of(const OpenFile& file);

/// The last descriptor of the file is closed.
void release_lease(const OpenFile& file);

/// Called by who is about to use the file, after it counts as open for that: tells the owners of leases that
/// are against it, and waits until they have given way or their time is over. Errors: TryAgain instead of
/// waiting, if `may_wait` is false; Interrupted.
[[nodiscard]] Result<> break_leases(const Inode& file, bool writing, bool may_wait);

/// How many seconds a lease may stay when it is to end, 0 for ever (/proc/sys/fs/lease-break-time).
std::size_t lease_break_time();
[[nodiscard]] Result<> set_lease_break_time(std::uint64_t seconds);

}  // namespace faultline
