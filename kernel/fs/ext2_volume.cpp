#include "kernel/fs/ext2_volume.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernel/dev/console.hpp"

namespace faultline::ext2 {
namespace {

constexpr std::size_t kBufferBytes = 2 << 20;  // metadata kept in memory
constexpr std::uint32_t kMaxGroups = 1 << 20;
constexpr std::string_view kNoMemory = "there is no memory for the file system";

struct Problem {
  KernelError error;
  const char* text;
};

bool must_be_replayed(const Superblock& super) {
  return super.revision != 0 && (super.incompatible & kIncompatRecover) != 0;
}

// Why the superblock does not describe a file system that this kernel can use; nothing if it does.
std::optional<Problem> examine(const Superblock& super) {
  const auto corrupt = [](const char* text) { return Problem{KernelError::Corrupt, text}; };
  const auto unsupported = [](const char* text) { return Problem{KernelError::NotSupported, text}; };
  if (super.magic != kMagic) return corrupt("no ext2 file system (wrong magic number)");
  if (super.revision > 1) return unsupported("ext2 revision is newer than 1");
  if (super.log_block_size > 2) return unsupported("ext2 block size is none of 1, 2, 4 KiB");
  const std::uint32_t block_size = 1024u << super.log_block_size;
  const std::uint32_t inode_size = super.revision == 0 ? sizeof(RawInode) : super.inode_size;
  if (must_be_replayed(super) && (super.compatible & kCompatJournal) == 0)
    return corrupt("damaged superblock: a journal that is none must be replayed");
  if (inode_size < sizeof(RawInode) || inode_size > block_size || !std::has_single_bit(inode_size))
    return corrupt("damaged superblock: inode size");
  if (super.first_data_block != (block_size == 1024 ? 1 : 0))
    return corrupt("damaged superblock: first data block");
  if (super.block_count <= super.first_data_block + 1) return corrupt("damaged superblock: block count");
  if (super.blocks_per_group < 64 || super.blocks_per_group > 8 * block_size ||
      super.blocks_per_group % 8 != 0)
    return corrupt("damaged superblock: blocks per group");
  if (super.inodes_per_group < 8 || super.inodes_per_group > 8 * block_size ||
      super.inodes_per_group % 8 != 0 || super.inodes_per_group * inode_size % block_size != 0)
    return corrupt("damaged superblock: inodes per group");
  const std::uint64_t groups =
      (std::uint64_t{super.block_count} - super.first_data_block + super.blocks_per_group - 1) /
      super.blocks_per_group;
  if (groups > kMaxGroups) return unsupported("ext2 with more than a million groups");
  if (super.inode_count != groups * super.inodes_per_group) return corrupt("damaged superblock: inode count");
  if (super.revision != 0 && (super.first_inode <= kRootInode || super.first_inode > super.inode_count))
    return corrupt("damaged superblock: first inode");
  return std::nullopt;
}

}  // namespace

Result<Box<Volume>> Volume::open(BlockDevice& device) { return open(device, Replayed::No); }

Result<Box<Volume>> Volume::open(BlockDevice& device, Replayed replayed) {
  const auto refuse = [&](KernelError error, std::string_view text) {
    print("faultline: {}: {}\n", device.name(), text);
    return failure(error);
  };
  if (device.sectors() * kSectorSize < kSuperblockOffset + sizeof(Superblock))
    return refuse(KernelError::Corrupt, "the disk is too small for a file system");

  // The device writes to the heap, not to a stack.
  Result<Box<Superblock>> memory = make_box<Superblock>();
  if (!memory) return refuse(memory.error(), kNoMemory);
  const Box<Superblock> super = *std::move(memory);
  const std::span<std::byte> bytes = std::as_writable_bytes(std::span(super.get(), 1));
  if (!device.read(kSuperblockOffset / kSectorSize, bytes))
    return refuse(KernelError::InputOutput, "the superblock cannot be read");
  if (const auto problem = examine(*super)) return refuse(problem->error, problem->text);

  const std::uint32_t incompatible =
      super->revision == 0 ? 0 : super->incompatible & ~(kIncompatSupported | kIncompatRecover);
  if (incompatible != 0) {
    print("faultline: {}: ext2 has features that this kernel does not know (incompatible {:#x})\n",
          device.name(), incompatible);
    return failure(KernelError::NotSupported);
  }
  const std::uint64_t needed = std::uint64_t{super->block_count} << (10 + super->log_block_size);
  if (needed > device.sectors() * kSectorSize) {
    print("faultline: {}: the disk is cut off: the file system has {} KiB, the disk {}\n", device.name(),
          needed / 1024, device.sectors() * kSectorSize / 1024);
    return failure(KernelError::Corrupt);
  }

  if ((std::size_t{1024} << super->log_block_size) < device.block_bytes())
    return refuse(KernelError::NotSupported, "ext2 has smaller blocks than the disk");

  Result<Box<Volume>> made = make_box<Volume>(device, *super);
  if (!made) return refuse(made.error(), kNoMemory);
  Box<Volume> volume = *std::move(made);
  if (super->revision != 0 && (super->read_only_compatible & ~kReadOnlySupported) != 0) {
    print("faultline: {}: ext2 has features that allow this kernel to read only ({:#x})\n", device.name(),
          super->read_only_compatible & ~kReadOnlySupported);
    volume->read_only_ = volume->never_written_ = true;
  }
  volume->replayed_ = replayed;
  if (const Result<> read = volume->read_descriptors(); !read) {
    if (read.error() == KernelError::Corrupt) return failure(read.error());  // has been reported
    return refuse(read.error(), "the group descriptors cannot be read");
  }
  if (must_be_replayed(*super)) {
    if (volume->never_written() || replayed == Replayed::Yes)
      return refuse(KernelError::NotSupported, "the journal must be replayed first (run e2fsck on it)");
    if (const Result<> done = volume->replay_journal(); !done)
      return refuse(done.error(), "the journal cannot be replayed (run e2fsck on it)");
    volume.reset();  // what it has read may be out of date
    return open(device, Replayed::Yes);
  }
  return volume;
}

Result<> Volume::replay_journal() {
  const Box<Journal> journal = TRY(Journal::open(*this));
  TRY(journal->replay());
  // The journal may have held the superblock.
  const Box<Superblock> super = TRY(make_box<Superblock>());
  const std::span<std::byte> bytes = std::as_writable_bytes(std::span(super.get(), 1));
  TRY(device_.read(kSuperblockOffset / kSectorSize, bytes));
  super->incompatible &= ~kIncompatRecover;
  super->state &= static_cast<std::uint16_t>(~kStateClean);
  TRY(device_.write(kSuperblockOffset / kSectorSize, bytes));
  return device_.flush();
}

Volume::Volume(BlockDevice& device, const Superblock& superblock)
    : device_(device),
      superblock_(superblock),
      block_size_(std::size_t{1024} << superblock.log_block_size),
      inode_size_(superblock.revision == 0 ? sizeof(RawInode) : superblock.inode_size),
      first_inode_(superblock.revision == 0 ? 11 : superblock.first_inode),
      state_when_opened_(superblock.state),
      never_written_(device.read_only()),
      read_only_(device.read_only()),
      buffers_(device, block_size_, kBufferBytes / block_size_) {
  if (superblock.revision == 0)
    superblock_.compatible = superblock_.incompatible = superblock_.read_only_compatible = 0;
  if (inode_size_ >= sizeof(RawInode) + sizeof(RawInodeExtra)) extra_inode_bytes_ = sizeof(RawInodeExtra);
}

std::uint32_t Volume::blocks_in(std::uint32_t group) const {
  return std::min(superblock_.blocks_per_group, superblock_.block_count - first_block_of(group));
}

bool Volume::descriptor_is_sound(const GroupDescriptor& group) const {
  const std::uint32_t table = inode_table_blocks();
  return is_valid_block(group.block_bitmap) && is_valid_block(group.inode_bitmap) &&
         is_valid_block(group.inode_table) && table <= superblock_.block_count - group.inode_table;
}

Result<> Volume::read_descriptors() {
  const std::uint32_t count =
      (superblock_.block_count - superblock_.first_data_block + superblock_.blocks_per_group - 1) /
      superblock_.blocks_per_group;
  TRY(groups_.resize(count));
  const std::size_t per_block = block_size_ / sizeof(GroupDescriptor);
  BufferRef buffer;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (i % per_block == 0) buffer = TRY(buffers_.read(superblock_.first_data_block + 1 + i / per_block));
    groups_[i] = buffer.at<GroupDescriptor>(i % per_block * sizeof(GroupDescriptor));
    if (!descriptor_is_sound(groups_[i])) return failure(damaged("damaged descriptor of group", i));
  }
  return {};
}

KernelError Volume::damaged(std::string_view what, std::uint64_t number) {
  read_only_.store(true, std::memory_order_relaxed);
  if (damaged_.exchange(1) == 0) {
    print("faultline: {}: ext2: {} {}; the file system is read-only from now on\n", device_.name(), what,
          number);
  }
  return KernelError::Corrupt;
}

Volume::InodePlace Volume::place_of(InodeNumber inode) const {
  ASSERT(inode != 0 && inode <= superblock_.inode_count);
  const std::uint32_t group = (inode - 1) / superblock_.inodes_per_group;
  const std::size_t byte = (inode - 1) % superblock_.inodes_per_group * inode_size_;
  return {groups_[group].inode_table + static_cast<BlockNumber>(byte / block_size_), byte % block_size_};
}

BlockNumber Volume::first_goal(InodeNumber inode) const {
  return first_block_of((inode - 1) / superblock_.inodes_per_group);
}

Result<> Volume::allow_large_files() {
  if (superblock_.revision == 0) return failure(KernelError::FileTooLarge);
  superblock_.read_only_compatible |= kReadOnlyLargeFile;
  return {};
}

Result<> Volume::store_descriptors() {
  const std::size_t per_block = block_size_ / sizeof(GroupDescriptor);
  BufferRef buffer;
  for (std::uint32_t i = 0; i < group_count(); ++i) {
    if (i % per_block == 0) {
      buffer = TRY(buffers_.read(superblock_.first_data_block + 1 + i / per_block));
      buffer.mark_dirty();
    }
    buffer.at<GroupDescriptor>(i % per_block * sizeof(GroupDescriptor)) = groups_[i];
  }
  return {};
}

Result<> Volume::store_superblock(Mark mark) {
  superblock_.write_time = static_cast<std::uint32_t>(current_time().seconds);
  superblock_.state = state_when_opened_ & kStateErrors;
  if (mark == Mark::Clean) superblock_.state |= state_when_opened_ & kStateClean;
  if (damaged_ != 0) superblock_.state = kStateErrors;
  superblock_.incompatible &= ~kIncompatRecover;
  if (journal_ && mark == Mark::InUse) superblock_.incompatible |= kIncompatRecover;
  BufferRef buffer = TRY(buffers_.read(kSuperblockOffset / block_size_));
  std::memcpy(buffer.bytes().data() + kSuperblockOffset % block_size_, &superblock_, sizeof(superblock_));
  buffer.mark_dirty();
  return {};
}

Result<> Volume::mark_in_use() {
  if (superblock_.revision != 0 && (superblock_.compatible & kCompatJournal) != 0) {
    Result<Box<Journal>> journal = Journal::open(*this);
    if (journal) {
      journal_ = *std::move(journal);
    } else {
      print("faultline: {}: ext3's journal is not used: {}\n", name(), describe(journal.error()));
    }
  }
  ++superblock_.mount_count;
  superblock_.mount_time = static_cast<std::uint32_t>(current_time().seconds);
  TRY(store_superblock(Mark::InUse));
  TRY(buffers_.write_back());
  TRY(device_.flush());
  buffers_.use_log(journal_.get());
  return {};
}

Result<> Volume::write_back(Mark mark, std::size_t freed) {
  if (never_written_) return {};
  if (mark == Mark::Clean) {
    TRY(write_back(Mark::InUse, freed));
    freed = 0;
    // With nothing to replay, the mark that says so can go to its place alone.
    if (journal_) TRY(journal_->mark_empty());
    buffers_.use_log(nullptr);
  }
  {
    MutexGuard guard(allocation_lock_);
    TRY(store_descriptors());
    TRY(store_superblock(mark));
  }
  TRY(buffers_.write_back());
  TRY(device_.flush());
  return release_freed(freed);
}

FileSystemStatistics Volume::statistics() {
  MutexGuard guard(allocation_lock_);
  const std::uint32_t free = superblock_.free_blocks + static_cast<std::uint32_t>(freed_.size());
  return {.magic = kMagic,
          .block_size = static_cast<std::uint32_t>(block_size_),
          .blocks = superblock_.block_count - superblock_.first_data_block,
          .free_blocks = free,
          .available_blocks = free - std::min(free, superblock_.reserved_blocks),
          .inodes = superblock_.inode_count,
          .free_inodes = superblock_.free_inodes,
          .name_length = 255,
          .read_only = read_only()};
}

}  // namespace faultline::ext2
