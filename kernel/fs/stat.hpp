#pragma once
// What is known of a file: kinds, modes, times, attributes. The numbers of modes are those of POSIX and ext2.

#include <cstdint>
#include <optional>

namespace faultline {

struct Timestamp {
  std::int64_t seconds = 0;  // since 1970-01-01 00:00:00 UTC
  std::uint32_t nanoseconds = 0;
};

/// The time of day. Seam: the kernel reads its clock, the host tests choose a time.
Timestamp current_time() noexcept;

enum class FileKind : std::uint8_t {
  Regular,
  Directory,
  SymbolicLink,
  CharacterDevice,
  BlockDevice,
  Fifo,
  Socket
};

namespace mode {
inline constexpr std::uint32_t kKindMask = 0170000;
inline constexpr std::uint32_t kSocket = 0140000;
inline constexpr std::uint32_t kSymbolicLink = 0120000;
inline constexpr std::uint32_t kRegular = 0100000;
inline constexpr std::uint32_t kBlockDevice = 0060000;
inline constexpr std::uint32_t kDirectory = 0040000;
inline constexpr std::uint32_t kCharacterDevice = 0020000;
inline constexpr std::uint32_t kFifo = 0010000;
inline constexpr std::uint32_t kSetUser = 04000;
inline constexpr std::uint32_t kSetGroup = 02000;
inline constexpr std::uint32_t kSticky = 01000;
inline constexpr std::uint32_t kPermissions = 07777;

/// The kind bits of a mode; nothing when they are none of POSIX's.
constexpr std::optional<FileKind> kind_of(std::uint32_t mode) {
  switch (mode & kKindMask) {
    case kSocket:
      return FileKind::Socket;
    case kSymbolicLink:
      return FileKind::SymbolicLink;
    case kRegular:
      return FileKind::Regular;
    case kBlockDevice:
      return FileKind::BlockDevice;
    case kDirectory:
      return FileKind::Directory;
    case kCharacterDevice:
      return FileKind::CharacterDevice;
    case kFifo:
      return FileKind::Fifo;
    default:
      return std::nullopt;
  }
}

constexpr std::uint32_t bits_of(FileKind kind) {
  switch (kind) {
    case FileKind::Regular:
      return kRegular;
    case FileKind::Directory:
      return kDirectory;
    case FileKind::SymbolicLink:
      return kSymbolicLink;
    case FileKind::CharacterDevice:
      return kCharacterDevice;
    case FileKind::BlockDevice:
      return kBlockDevice;
    case FileKind::Fifo:
      return kFifo;
    case FileKind::Socket:
      return kSocket;
  }
  return 0;
}
}  // namespace mode

/// A device's number as Linux's stat reports it.
struct DeviceNumber {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  friend bool operator==(const DeviceNumber&, const DeviceNumber&) = default;

  /// Linux's 32-bit encoding (new_encode_dev): minor bits 0-7 and 20-31, major bits 8-19.
  constexpr std::uint64_t encoded() const { return (minor & 0xff) | (major << 8) | ((minor & ~0xffu) << 12); }
  static constexpr DeviceNumber decode(std::uint32_t encoded) {
    return {.major = (encoded >> 8) & 0xfff, .minor = (encoded & 0xff) | ((encoded >> 12) & ~0xffu)};
  }
};

/// The attributes of a file.
struct Stat {
  std::uint64_t device = 0;  // of the file system, DeviceNumber::encoded
  std::uint64_t inode = 0;
  std::uint32_t mode = 0;  // kind and permission bits
  std::uint32_t links = 0;
  std::uint32_t user = 0;
  std::uint32_t group = 0;
  DeviceNumber special;  // the device a character or block special file stands for
  std::uint64_t size = 0;
  std::uint32_t block_size = 4096;  // preferred size of reads and writes
  std::uint64_t blocks = 0;         // in units of 512 bytes
  Timestamp accessed, modified, changed;
};

/// What chmod, chown and utimensat change: the fields that hold something.
struct AttributeChange {
  std::optional<std::uint32_t> permissions = {};  // mode::kPermissions bits
  std::optional<std::uint32_t> user = {}, group = {};
  std::optional<Timestamp> accessed = {}, modified = {};
};

/// What statfs tells of a file system.
struct FileSystemStatistics {
  std::uint32_t magic = 0;
  std::uint32_t block_size = 4096;
  std::uint64_t blocks = 0, free_blocks = 0, available_blocks = 0;
  std::uint64_t inodes = 0, free_inodes = 0;
  std::uint32_t name_length = 255;
  bool read_only = false;
};

}  // namespace faultline
