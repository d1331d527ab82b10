#pragma once
// ext2 on the disk: Card, Ts'o, Tweedie, "Design and Implementation of the Second Extended Filesystem"; field
// offsets as documented in e2fsprogs (lib/ext2fs/ext2_fs.h). Little-endian, like the machines this runs on.
//
//     byte 1024: superblock       the block behind it: group descriptors       then, group by group:
//     [superblock copy, descriptors copy] [block bitmap] [inode bitmap] [inode table] [data ...]

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace faultline::ext2 {

static_assert(std::endian::native == std::endian::little);

using BlockNumber = std::uint32_t;  // of the disk; 0 stands for "none" (a hole)
using InodeNumber = std::uint32_t;  // 1-based; 0 stands for "none"

inline constexpr std::uint16_t kMagic = 0xef53;
inline constexpr std::size_t kSuperblockOffset = 1024;
inline constexpr InodeNumber kRootInode = 2;
inline constexpr std::uint32_t kMaxLinks = 32000;
inline constexpr std::uint16_t kStateClean = 1, kStateErrors = 2;

inline constexpr std::uint32_t kIncompatFileType = 0x2;  // directory entries tell the kind of file
inline constexpr std::uint32_t kIncompatRecover = 0x4;   // the journal holds writes that the disk lacks
inline constexpr std::uint32_t kIncompatSupported = kIncompatFileType;
inline constexpr std::uint32_t kCompatJournal = 0x4;  // there is a journal

inline constexpr std::uint32_t kReadOnlySparseSuper = 0x1;  // copies of the superblock in few groups
inline constexpr std::uint32_t kReadOnlyLargeFile = 0x2;    // a file is 2 GiB or larger
inline constexpr std::uint32_t kReadOnlySupported = kReadOnlySparseSuper | kReadOnlyLargeFile;

inline constexpr std::uint32_t kFlagIndexedDirectory = 0x1000;

struct Superblock {
  std::uint32_t inode_count;
  std::uint32_t block_count;
  std::uint32_t reserved_blocks;
  std::uint32_t free_blocks;
  std::uint32_t free_inodes;
  std::uint32_t first_data_block;
  std::uint32_t log_block_size;  // block size is 1024 << this
  std::uint32_t log_fragment_size;
  std::uint32_t blocks_per_group;
  std::uint32_t fragments_per_group;
  std::uint32_t inodes_per_group;
  std::uint32_t mount_time;
  std::uint32_t write_time;
  std::uint16_t mount_count;
  std::uint16_t max_mount_count;
  std::uint16_t magic;
  std::uint16_t state;
  std::uint16_t error_behaviour;
  std::uint16_t minor_revision;
  std::uint32_t check_time;
  std::uint32_t check_interval;
  std::uint32_t creator;
  std::uint32_t revision;
  std::uint16_t reserved_user;
  std::uint16_t reserved_group;
  // Revision 1:
  std::uint32_t first_inode;
  std::uint16_t inode_size;
  std::uint16_t this_group;
  std::uint32_t compatible;
  std::uint32_t incompatible;
  std::uint32_t read_only_compatible;
  std::uint8_t uuid[16];
  char volume_name[16];
  char last_mounted[64];
  std::uint32_t algorithms;
  std::uint8_t preallocate_blocks;
  std::uint8_t preallocate_directory_blocks;
  std::uint16_t reserved_descriptors;
  std::uint8_t journal_uuid[16];
  std::uint32_t journal_inode;
  std::uint32_t journal_device;
  std::uint32_t last_orphan;  // head of the list of unlinked inodes that were open
  std::uint32_t hash_seed[4];
  std::uint8_t hash_version;
  std::uint8_t journal_backup_type;
  std::uint16_t descriptor_size;
  std::uint32_t default_mount_options;
  std::uint32_t first_meta_group;
  std::uint32_t made_time;
  std::uint32_t journal_blocks[17];
  std::uint32_t block_count_high;
  std::uint32_t reserved_blocks_high;
  std::uint32_t free_blocks_high;
  std::uint16_t min_extra_size;
  std::uint16_t wanted_extra_size;
  std::uint8_t rest[1024 - 352];
};
static_assert(sizeof(Superblock) == 1024);
static_assert(offsetof(Superblock, magic) == 56 && offsetof(Superblock, first_inode) == 84);
static_assert(offsetof(Superblock, incompatible) == 96 && offsetof(Superblock, last_orphan) == 232);
static_assert(offsetof(Superblock, block_count_high) == 336 && offsetof(Superblock, min_extra_size) == 348);

struct GroupDescriptor {
  BlockNumber block_bitmap;
  BlockNumber inode_bitmap;
  BlockNumber inode_table;
  std::uint16_t free_blocks;
  std::uint16_t free_inodes;
  std::uint16_t directories;
  std::uint16_t flags;
  std::uint32_t reserved[3];
};
static_assert(sizeof(GroupDescriptor) == 32);

inline constexpr unsigned kDirectBlocks = 12;
inline constexpr unsigned kBlockPointers = 15;  // 12 direct, then single, double, triple indirect

struct RawInode {
  std::uint16_t mode;
  std::uint16_t user;
  std::uint32_t size;
  std::uint32_t access_time;
  std::uint32_t change_time;
  std::uint32_t modify_time;
  std::uint32_t delete_time;  // of an unlinked, still open inode: next in the list of orphans
  std::uint16_t group;
  std::uint16_t links;
  std::uint32_t sectors;  // of 512 bytes, indirect and attribute blocks included
  std::uint32_t flags;
  std::uint32_t version;
  std::uint32_t blocks[kBlockPointers];
  std::uint32_t generation;
  std::uint32_t attribute_block;
  std::uint32_t size_high;  // of regular files
  std::uint32_t fragment;
  std::uint16_t sectors_high;
  std::uint16_t attribute_block_high;
  std::uint16_t user_high;
  std::uint16_t group_high;
  std::uint32_t reserved;
};
static_assert(sizeof(RawInode) == 128 && offsetof(RawInode, blocks) == 40 &&
              offsetof(RawInode, size_high) == 108);

/// Behind the RawInode where the inode size is larger than 128; valid up to 128 + extra_size bytes.
struct RawInodeExtra {
  std::uint16_t extra_size;
  std::uint16_t checksum_high;
  std::uint32_t change_time_extra;  // bits 0-1: bits 32-33 of the seconds; above: nanoseconds
  std::uint32_t modify_time_extra;
  std::uint32_t access_time_extra;
  std::uint32_t creation_time;
  std::uint32_t creation_time_extra;
  std::uint32_t version_high;
  std::uint32_t project;
};
static_assert(sizeof(RawInodeExtra) == 32);

/// A symbolic link's target of less than this many bytes stands in RawInode::blocks.
inline constexpr std::size_t kFastLinkBytes = sizeof(RawInode::blocks);

struct DirectoryEntryHeader {
  InodeNumber inode;  // 0: unused
  std::uint16_t length;
  std::uint8_t name_length;
  std::uint8_t kind;  // with kIncompatFileType; otherwise the high byte of the name's length, always 0
};
static_assert(sizeof(DirectoryEntryHeader) == 8);

/// Bytes that an entry with a name of this length needs.
constexpr std::size_t entry_size(std::size_t name_length) {
  return (sizeof(DirectoryEntryHeader) + name_length + 3) & ~std::size_t{3};
}

/// Header of a block of extended attributes, which several inodes may share.
struct AttributeBlockHeader {
  static constexpr std::uint32_t kMagic = 0xea020000;
  std::uint32_t magic;
  std::uint32_t references;
  std::uint32_t blocks;
  std::uint32_t hash;
};

}  // namespace faultline::ext2
