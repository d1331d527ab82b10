// What is known of files: stat and its family, permissions, times.

#include "kernel/fs/file_system.hpp"
#include "kernel/syscall/system_calls.hpp"
#include "kernel/syscall/user_path.hpp"

namespace faultline::system_call {

namespace {

abi::FileStatus to_file_status(const Stat& stat) {
  abi::FileStatus status = {};
  status.device = stat.device;
  status.inode = stat.inode;
  status.mode = stat.mode;
  status.links = stat.links;
  status.user = stat.user;
  status.group = stat.group;
  status.special_device = stat.special.encoded();
  status.size = static_cast<std::int64_t>(stat.size);
  status.block_size = static_cast<std::int32_t>(stat.block_size);
  status.blocks = static_cast<std::int64_t>(stat.blocks);
  status.accessed = abi::to_time_spec(stat.accessed);
  status.modified = abi::to_time_spec(stat.modified);
  status.changed = abi::to_time_spec(stat.changed);
  return status;
}

abi::StatxTime to_statx_time(const Timestamp& time) {
  return {.seconds = time.seconds, .nanoseconds = time.nanoseconds, .reserved = 0};
}

abi::Statx to_statx(const Stat& stat) {
  constexpr std::uint32_t kBasic = 0x7ff;  // STATX_BASIC_STATS: all that stat tells
  const DeviceNumber device = DeviceNumber::decode(static_cast<std::uint32_t>(stat.device));
  abi::Statx status = {};
  status.mask = kBasic;
  status.block_size = stat.block_size;
  status.links = stat.links;
  status.user = stat.user;
  status.group = stat.group;
  status.mode = static_cast<std::uint16_t>(stat.mode);
  status.inode = stat.inode;
  status.size = stat.size;
  status.blocks = stat.blocks;
  status.accessed = to_statx_time(stat.accessed);
  status.changed = to_statx_time(stat.changed);
  status.modified = to_statx_time(stat.modified);
  status.special_major = stat.special.major;
  status.special_minor = stat.special.minor;
  status.device_major = device.major;
  status.device_minor = device.minor;
  return status;
}

// The file that newfstatat and statx are asked about. An empty path names a descriptor, perhaps of a file
// without inode.
Result<Stat> stat_of(int directory, Address path, std::uint32_t flags) {
  const UserPath name = TRY(UserPath::from(directory, path));
  if (name.view().empty() && (flags & kEmptyPath) != 0 && directory != kWorkingDirectory) {
    return TRY(open_file(directory))->stat();
  }
  return TRY(name.inode((flags & kNoFollow) != 0 ? FollowLast::No : FollowLast::Yes, flags))->stat();
}

}  // namespace

Value fstat(int descriptor, UserPointer<abi::FileStatus> status) {
  TRY(status.write(to_file_status(TRY(TRY(open_file(descriptor))->stat()))));
  return 0;
}

Value newfstatat(int directory, Address path, UserPointer<abi::FileStatus> status, std::uint32_t flags) {
  if ((flags & ~(kNoFollow | kNoAutomount | kEmptyPath | kSyncType)) != 0)
    return failure(KernelError::InvalidArgument);
  TRY(status.write(to_file_status(TRY(stat_of(directory, path, flags)))));
  return 0;
}

Value statx(int directory, Address path, std::uint32_t flags, std::uint32_t mask,
            UserPointer<abi::Statx> status) {
  constexpr std::uint32_t kReservedMask = 0x80000000;
  const bool both_syncs = (flags & kSyncType) == kSyncType;
  if ((flags & ~(kNoFollow | kNoAutomount | kEmptyPath | kSyncType)) != 0 || both_syncs ||
      (mask & kReservedMask) != 0) {
    return failure(KernelError::InvalidArgument);
  }
  TRY(status.write(to_statx(TRY(stat_of(directory, path, flags)))));
  return 0;
}

namespace {

Result<> report_file_system(const Inode& inode, UserPointer<abi::FileSystemStatus> status) {
  constexpr std::int64_t kReadOnly = 1, kValid = 0x20;
  const FileSystemStatistics statistics = inode.file_system().statistics();
  abi::FileSystemStatus report = {};
  report.type = statistics.magic;
  report.block_size = report.fragment_size = statistics.block_size;
  report.blocks = statistics.blocks;
  report.free_blocks = statistics.free_blocks;
  report.available_blocks = statistics.available_blocks;
  report.inodes = statistics.inodes;
  report.free_inodes = statistics.free_inodes;
  report.name_length = statistics.name_length;
  report.flags = kValid | (statistics.read_only ? kReadOnly : 0);
  return status.write(report);
}

}  // namespace

Value statfs(Address path, UserPointer<abi::FileSystemStatus> status) {
  const UserPath name = TRY(UserPath::from(kWorkingDirectory, path));
  TRY(report_file_system(*TRY(name.inode(FollowLast::Yes)), status));
  return 0;
}

Value fstatfs(int descriptor, UserPointer<abi::FileSystemStatus> status) {
  const Ref<OpenFile> file = TRY(open_file(descriptor));
  if (file->inode() == nullptr) return failure(KernelError::NotImplemented);
  TRY(report_file_system(*file->inode(), status));
  return 0;
}

Value faccessat(int directory, Address path, std::uint32_t access) {
  return faccessat2(directory, path, access, 0);
}

Value faccessat2(int directory, Address path, std::uint32_t access, std::uint32_t flags) {
  constexpr std::uint32_t kAll = access_mode::kRead | access_mode::kWrite | access_mode::kExecute;
  if ((access & ~kAll) != 0 || (flags & ~(kNoFollow | kEffectiveAccess | kEmptyPath)) != 0) {
    return failure(KernelError::InvalidArgument);
  }
  const UserPath name = TRY(UserPath::from(directory, path));
  const ProcessCredentials& credentials = Process::current().credentials;
  const FileCredentials asking =
      (flags & kEffectiveAccess) != 0 ? credentials.effective() : credentials.real();
  PathContext context = name.context();
  context.credentials = asking;
  const bool itself = name.view().empty() && (flags & kEmptyPath) != 0;
  const FollowLast follow = (flags & kNoFollow) != 0 ? FollowLast::No : FollowLast::Yes;
  const Ref<Inode> inode =
      itself ? TRY(name.inode(follow, flags)) : TRY(resolve(context, name.view(), follow));
  if (access != 0) TRY(check_access(*inode, access, asking));
  return 0;
}

namespace {

Result<> change(Inode& inode, const AttributeChange& changed) {
  return change_attributes(inode, changed, Process::current().credentials.effective());
}

Result<Ref<Inode>> inode_of(int descriptor) {
  const Ref<OpenFile> file = TRY(accessible_file(descriptor));
  if (file->inode() == nullptr) return failure(KernelError::InvalidArgument);
  return Ref<Inode>::share(*file->inode());
}

AttributeChange to_permissions(std::uint32_t permissions) {
  AttributeChange changed;
  changed.permissions = permissions & mode::kPermissions;
  return changed;
}

AttributeChange to_owner(std::uint32_t user, std::uint32_t group) {
  AttributeChange changed;
  if (user != abi::kUnchanged) changed.user = user;
  if (group != abi::kUnchanged) changed.group = group;
  return changed;
}

}  // namespace

Value fchmod(int descriptor, std::uint32_t permissions) {
  TRY(change(*TRY(inode_of(descriptor)), to_permissions(permissions)));
  return 0;
}

Value fchmodat(int directory, Address path, std::uint32_t permissions) {
  const UserPath name = TRY(UserPath::from(directory, path));
  TRY(change(*TRY(name.inode(FollowLast::Yes)), to_permissions(permissions)));
  return 0;
}

Value fchown(int descriptor, std::uint32_t user, std::uint32_t group) {
  TRY(change(*TRY(inode_of(descriptor)), to_owner(user, group)));
  return 0;
}

Value fchownat(int directory, Address path, std::uint32_t user, std::uint32_t group, std::uint32_t flags) {
  if ((flags & ~(kNoFollow | kEmptyPath)) != 0) return failure(KernelError::InvalidArgument);
  const UserPath name = TRY(UserPath::from(directory, path));
  const FollowLast follow = (flags & kNoFollow) != 0 ? FollowLast::No : FollowLast::Yes;
  TRY(change(*TRY(name.inode(follow, flags)), to_owner(user, group)));
  return 0;
}

namespace {

// One of utimensat's two times: a time, now, or as it is.
Result<std::optional<Timestamp>> to_timestamp(const abi::TimeSpec& time) {
  constexpr std::int64_t kNow = 0x3fffffff, kOmit = 0x3ffffffe;
  if (time.nanoseconds == kNow) return current_time();
  if (time.nanoseconds == kOmit) return std::nullopt;
  if (time.nanoseconds < 0 || time.nanoseconds >= kNanosecondsPerSecond)
    return failure(KernelError::InvalidArgument);
  return Timestamp{.seconds = time.seconds, .nanoseconds = static_cast<std::uint32_t>(time.nanoseconds)};
}

}  // namespace

Value utimensat(int directory, Address path, UserPointer<abi::TimeSpec> times, std::uint32_t flags) {
  if ((flags & ~(kNoFollow | kEmptyPath)) != 0) return failure(KernelError::InvalidArgument);
  AttributeChange changed;
  if (times.null()) {
    changed.accessed = changed.modified = current_time();
  } else {
    changed.accessed = TRY(to_timestamp(TRY(times.read())));
    changed.modified = TRY(to_timestamp(TRY((times + 1).read())));
  }
  if (path == 0) {  // the descriptor itself, as futimens asks
    TRY(change(*TRY(inode_of(directory)), changed));
    return 0;
  }
  const UserPath name = TRY(UserPath::from(directory, path));
  const FollowLast follow = (flags & kNoFollow) != 0 ? FollowLast::No : FollowLast::Yes;
  TRY(change(*TRY(name.inode(follow, flags)), changed));
  return 0;
}

}  // namespace faultline::system_call
