#pragma once
// Structures and constants of Linux's system-call interface on 64-bit RISC-V (the asm-generic ABI), as far as
// they are not defined where they are used. Sizes are pinned: programs depend on every byte.

#include <array>
#include <cstdint>

#include "kernel/fs/stat.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/lib/time.hpp"

namespace faultline::abi {

struct TimeSpec {
  std::int64_t seconds;
  std::int64_t nanoseconds;
};

struct TimeVal {
  std::int64_t seconds;
  std::int64_t microseconds;
};

struct IntervalTimerValue {
  TimeVal interval;
  TimeVal value;
};

struct FileStatus {  // struct stat
  std::uint64_t device, inode;
  std::uint32_t mode, links, user, group;
  std::uint64_t special_device, padding1;
  std::int64_t size;
  std::int32_t block_size, padding2;
  std::int64_t blocks;
  TimeSpec accessed, modified, changed;
  std::uint32_t unused[2];
};
static_assert(sizeof(FileStatus) == 128);

struct StatxTime {
  std::int64_t seconds;
  std::uint32_t nanoseconds;
  std::int32_t reserved;
};
struct Statx {
  std::uint32_t mask, block_size;
  std::uint64_t attributes;
  std::uint32_t links, user, group;
  std::uint16_t mode, spare0;
  std::uint64_t inode, size, blocks, attributes_mask;
  StatxTime accessed, born, changed, modified;
  std::uint32_t special_major, special_minor, device_major, device_minor;
  std::uint64_t mount, spare[13];
};
static_assert(sizeof(Statx) == 256);

struct FileSystemStatus {  // struct statfs
  std::int64_t type, block_size;
  std::uint64_t blocks, free_blocks, available_blocks, inodes, free_inodes;
  std::array<std::int32_t, 2> id;
  std::int64_t name_length, fragment_size, flags;
  std::array<std::int64_t, 4> spare;
};
static_assert(sizeof(FileSystemStatus) == 120);

struct ResourceUse {  // struct rusage
  TimeVal user_time, system_time;
  std::int64_t peak_resident_kilobytes, unused1[3];
  std::int64_t minor_faults, major_faults, unused2[8];
};
static_assert(sizeof(ResourceUse) == 144);

struct ResourceLimit {  // struct rlimit64
  std::uint64_t soft, hard;
};

struct SystemName {  // struct new_utsname
  char system[65], node[65], release[65], version[65], machine[65], domain[65];
};

struct SystemInformation {  // struct sysinfo
  std::int64_t uptime;
  std::uint64_t loads[3], total_memory, free_memory, shared_memory, buffer_memory, total_swap, free_swap;
  std::uint16_t processes, padding1;
  std::uint32_t padding2;
  std::uint64_t total_high, free_high;
  std::uint32_t unit, padding3;
};
static_assert(sizeof(SystemInformation) == 112);

struct ProcessTimes {  // struct tms
  std::int64_t user, system, children_user, children_system;
};

struct PollDescriptor {
  std::int32_t descriptor;
  std::int16_t wanted, found;
};
static_assert(sizeof(PollDescriptor) == 8);

/// The last argument of pselect6.
struct SignalMaskArgument {
  std::uint64_t mask, size;
};

/// In the place of a user or a group: it stays as it is.
inline constexpr std::uint32_t kUnchanged = UINT32_MAX;

/// The length that every system call with a signal set asks for.
inline constexpr std::uint64_t kSignalSetBytes = 8;

/// Checks a duration and converts it. Error: InvalidArgument.
Result<Ticks> to_ticks(const TimeSpec& time);
Result<Ticks> to_ticks(const TimeVal& time);
TimeSpec to_time_spec(Ticks ticks);
TimeVal to_time_val(Ticks ticks);
TimeSpec to_time_spec(const Timestamp& time);

}  // namespace faultline::abi
