#include "kernel/fs/ext2_journal.hpp"

#include <bit>
#include <cstring>

#include "kernel/fs/ext2_block_map.hpp"
#include "kernel/fs/ext2_volume.hpp"
#include "kernel/fs/transfer_batch.hpp"

namespace faultline::ext2 {
namespace {

class BigEndian32 {
 public:
  operator std::uint32_t() const { return std::byteswap(raw_); }
  BigEndian32& operator=(std::uint32_t value) {
    raw_ = std::byteswap(value);
    return *this;
  }

 private:
  std::uint32_t raw_;
};

constexpr std::uint32_t kJournalMagic = 0xc03b3998;
constexpr std::uint32_t kDescriptor = 1, kCommit = 2, kOldSuperblock = 3, kNewSuperblock = 4,
                        kRevocations = 5;
// A tag's flags.
constexpr std::uint32_t kEscaped = 1, kSameUuid = 2, kLastTag = 8;
constexpr std::size_t kUuidBytes = 16;
// Linux makes none of this size by itself; the numbers of its blocks are kept in memory.
constexpr std::uint32_t kMostBlocks = 1 << 17;
constexpr std::uint32_t kIncompatRevocations = 1;

struct JournalSuperblock {
  BigEndian32 magic, kind, zero;
  BigEndian32 block_size, block_count, first;
  BigEndian32 sequence, start;
  BigEndian32 error;
  BigEndian32 compatible, incompatible, read_only_compatible;
};

}  // namespace

struct Journal::Head {
  BigEndian32 magic, kind, sequence;
};
struct Journal::Tag {
  BigEndian32 block, flags;
};

Result<Box<Journal>> Journal::open(Volume& volume) {
  Box<Journal> journal = TRY(make_box<Journal>(volume));
  TRY(journal->load());
  return journal;
}

Result<> Journal::load() {
  const std::size_t size = volume_.block_size();
  TRY(superblock_.resize(size));
  TRY(block_.resize(size));
  const InodeNumber number = volume_.journal_inode();
  if (number == 0 || number > volume_.inode_count()) return failure(KernelError::Corrupt);
  RawInode inode;
  {
    const Volume::InodePlace place = volume_.place_of(number);
    const BufferRef table = TRY(volume_.buffers().read(place.block));
    inode = table.at<RawInode>(place.offset);
  }
  const std::uint32_t count = inode.size / static_cast<std::uint32_t>(size);
  if (count < 2) return failure(KernelError::Corrupt);
  if (count > kMostBlocks) return failure(KernelError::NotSupported);
  BlockMap map(volume_, number, inode);
  TRY(blocks_.reserve(count));
  while (blocks_.size() < count) {
    const BlockRun run = TRY(map.find(blocks_.size(), count - static_cast<std::uint32_t>(blocks_.size())));
    if (run.is_hole()) return failure(KernelError::Corrupt);
    for (std::uint32_t i = 0; i < run.count && blocks_.size() < count; ++i)
      TRY(blocks_.push_back(run.first + i));
  }
  TRY(read_at(0, {superblock_.data(), size}));
  JournalSuperblock super;
  std::memcpy(&super, superblock_.data(), sizeof(super));
  if (super.magic != kJournalMagic || super.block_size != size || super.block_count > count ||
      super.first == 0 || super.first + std::uint64_t{2} * (kMost + 2) > super.block_count ||
      (super.start != 0 && (super.start < super.first || super.start >= super.block_count)))
    return failure(KernelError::Corrupt);
  if (super.kind != kOldSuperblock && super.kind != kNewSuperblock) return failure(KernelError::Corrupt);
  if (super.kind == kNewSuperblock &&
      ((super.incompatible & ~kIncompatRevocations) != 0 || super.read_only_compatible != 0))
    return failure(KernelError::NotSupported);
  TRY(blocks_.resize(super.block_count));
  first_ = super.first;
  sequence_ = super.sequence;
  start_ = super.start;
  return {};
}

Result<> Journal::write_at(std::uint32_t position, std::span<std::byte> bytes) {
  return volume_.device().write(volume_.sector_of(blocks_[position]), bytes);
}
Result<> Journal::read_at(std::uint32_t position, std::span<std::byte> bytes) {
  return volume_.device().read(volume_.sector_of(blocks_[position]), bytes);
}

Result<> Journal::store_superblock(std::uint32_t start) {
  JournalSuperblock super;
  std::memcpy(&super, superblock_.data(), sizeof(super));
  super.sequence = sequence_;
  super.start = start;
  std::memcpy(superblock_.data(), &super, sizeof(super));
  return write_at(0, {superblock_.data(), superblock_.size()});
}

Result<> Journal::mark_empty() {
  TRY(store_superblock(0));
  return volume_.device().flush();
}

// --- Writing ---

void Journal::set_head(std::uint32_t kind) {
  std::memset(block_.data(), 0, block_.size());
  Head& head = head_of(block_);
  head.magic = kJournalMagic;
  head.kind = kind;
  head.sequence = sequence_;
}

Journal::Head& Journal::head_of(Vector<std::byte>& block) const {
  return *reinterpret_cast<Head*>(block.data());
}

Result<> Journal::begin() {
  start_ = start_ == first_ ? first_ + half() : first_;
  position_ = start_;
  return {};
}

Result<> Journal::add(std::span<const Block> blocks) {
  ASSERT(blocks.size() <= kMost && position_ + 1 + blocks.size() < start_ + half());
  set_head(kDescriptor);
  std::byte* place = block_.data() + sizeof(Head);
  const std::uint32_t descriptor = position_++;
  TransferBatch batch(volume_.device(), BlockRequest::Kind::Write);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    // A block that begins like one of the journal's own is written without that word.
    std::uint32_t first_word;
    std::memcpy(&first_word, blocks[i].bytes.data(), sizeof(first_word));
    const bool escaped = first_word == std::byteswap(kJournalMagic);
    Tag tag;
    tag.block = static_cast<std::uint32_t>(blocks[i].number);
    tag.flags = (escaped ? kEscaped : 0) | (i == 0 ? 0 : kSameUuid) | (i + 1 == blocks.size() ? kLastTag : 0);
    std::memcpy(place, &tag, sizeof(tag));
    place += sizeof(tag) + (i == 0 ? kUuidBytes : 0);
    if (escaped) {
      Vector<std::byte> copy;
      TRY(copy.resize(block_.size()));
      std::memcpy(copy.data() + sizeof(first_word), blocks[i].bytes.data() + sizeof(first_word),
                  copy.size() - sizeof(first_word));
      TRY(write_at(position_++, {copy.data(), copy.size()}));
    } else {
      batch.add(volume_.sector_of(blocks_[position_++]), blocks[i].bytes);
    }
  }
  TRY(batch.finish());
  return write_at(descriptor, {block_.data(), block_.size()});
}

Result<> Journal::commit() {
  TRY(store_superblock(start_));
  TRY(volume_.device().flush());
  set_head(kCommit);
  TRY(write_at(position_, {block_.data(), block_.size()}));
  TRY(volume_.device().flush());
  ++sequence_;
  return {};
}

// --- Replaying ---

std::uint32_t Journal::after(std::uint32_t position) const {
  return position + 1 == blocks_.size() ? first_ : position + 1;
}

// How many transactions from start_ on have their end. Whatever a block says, the walk ends: it passes no
// block twice.
Result<std::uint32_t> Journal::complete_transactions() {
  std::uint32_t complete = 0;
  std::uint32_t position = start_;
  for (std::size_t steps = 0; steps < blocks_.size(); ++steps) {
    TRY(read_at(position, {block_.data(), block_.size()}));
    const Head head = head_of(block_);
    if (head.magic != kJournalMagic || head.sequence != sequence_ + complete) break;
    position = after(position);
    if (head.kind == kCommit) {
      ++complete;
    } else if (head.kind == kRevocations) {
      // Of another kernel, which may give blocks new meanings while they are in the journal.
      return failure(KernelError::NotSupported);
    } else if (head.kind == kDescriptor) {
      for (std::size_t at = sizeof(Head); at + sizeof(Tag) <= block_.size();) {
        Tag tag;
        std::memcpy(&tag, block_.data() + at, sizeof(tag));
        at += sizeof(tag) + ((tag.flags & kSameUuid) == 0 ? kUuidBytes : 0);
        position = after(position);
        ++steps;
        if ((tag.flags & kLastTag) != 0) break;
      }
    } else {
      break;
    }
  }
  return complete;
}

// Calls f(block of the disk, position of its copy, whether that is escaped) for the copies that the first
// transactions hold, in order.
template <class F>
Result<> Journal::for_each_copy(std::uint32_t transactions, F f) {
  std::uint32_t position = start_;
  for (std::uint32_t done = 0; done < transactions;) {
    TRY(read_at(position, {block_.data(), block_.size()}));
    position = after(position);
    if (head_of(block_).kind == kCommit) {
      ++done;
      continue;
    }
    for (std::size_t at = sizeof(Head); at + sizeof(Tag) <= block_.size();) {
      Tag tag;
      std::memcpy(&tag, block_.data() + at, sizeof(tag));
      at += sizeof(tag) + ((tag.flags & kSameUuid) == 0 ? kUuidBytes : 0);
      TRY(f(tag.block, position, (tag.flags & kEscaped) != 0));
      position = after(position);
      if ((tag.flags & kLastTag) != 0) break;
    }
  }
  return {};
}

Result<std::uint32_t> Journal::replay() {
  if (start_ == 0) return 0;
  const std::uint32_t transactions = TRY(complete_transactions());
  Vector<std::byte> copy;
  TRY(copy.resize(block_.size()));
  TRY(for_each_copy(transactions, [&](BlockNumber block, std::uint32_t position, bool escaped) -> Result<> {
    // The one that holds the superblock is not among those that a pointer may lead to.
    if (block >= volume_.block_count()) return failure(KernelError::Corrupt);
    TRY(read_at(position, {copy.data(), copy.size()}));
    const std::uint32_t magic = std::byteswap(kJournalMagic);
    if (escaped) std::memcpy(copy.data(), &magic, sizeof(magic));
    return volume_.device().write(volume_.sector_of(block), {copy.data(), copy.size()});
  }));
  TRY(volume_.device().flush());
  sequence_ += transactions + 1;  // the one without an end must not be taken for a new one's
  start_ = 0;
  TRY(mark_empty());
  return transactions;
}

}  // namespace faultline::ext2
