// The contents of an ext2 file: between user memory and pages, and between pages and blocks.

#include <algorithm>
#include <cstring>

#include "kernel/fs/ext2_file_system.hpp"
#include "kernel/fs/ext2_inode.hpp"
#include "kernel/fs/transfer_batch.hpp"

namespace faultline::ext2 {
namespace {

// A writer that has dirtied this many pages writes them back itself, so that dirty pages never fill the
// memory.
constexpr std::uint32_t kDirtyPageLimit = 1024;

bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

std::uint64_t Ext2Inode::maximum_size() const {
  return BlockMap::limit(volume().block_size()) * volume().block_size();
}

Result<std::size_t> Ext2Inode::read_at(std::uint64_t offset, IoBuffer& buffer) {
  if (kind_ == FileKind::Directory) return failure(KernelError::IsDirectory);
  if (kind_ != FileKind::Regular) return failure(KernelError::InvalidArgument);
  const std::size_t before = buffer.transferred();
  Result<> outcome;
  while (outcome && buffer.remaining() > 0) {
    const std::uint64_t end = size();
    if (offset >= end) break;
    const std::size_t in_page = offset % kPageSize;
    const std::size_t count =
        std::min<std::uint64_t>({kPageSize - in_page, end - offset, buffer.remaining()});
    const Result<Frame> frame = with_relief([&] { return page(offset / kPageSize); });
    if (!frame) {
      if (frame.error() != KernelError::BeyondEndOfFile) outcome = failure(frame.error());
      break;
    }
    outcome = buffer.put(frame->bytes().subspan(in_page, count));
    offset += count;
  }
  was_read();
  return buffer.outcome(before, outcome);
}

Result<std::size_t> Ext2Inode::write_at(std::uint64_t& offset, IoBuffer& buffer, bool append) {
  if (kind_ == FileKind::Directory) return failure(KernelError::IsDirectory);
  if (kind_ != FileKind::Regular) return failure(KernelError::InvalidArgument);
  TRY(volume().check_writable());
  if (buffer.remaining() == 0) return 0;
  const std::size_t before = buffer.transferred();
  const Result<> outcome = file_system_.change([&]() -> Result<> {
    MutexGuard guard(contents_lock_);
    const std::size_t done = buffer.transferred() - before;  // by a first try that met a full disk
    std::uint64_t position = append ? size() : offset + done;
    offset = position - done;
    return write_contents(position, buffer);
  });
  return buffer.outcome(before, outcome);
}

Result<> Ext2Inode::write_contents(std::uint64_t position, IoBuffer& buffer) {
  const std::uint64_t maximum = std::min(maximum_size(), buffer.file_size_limit());
  if (position >= maximum) return failure(KernelError::FileTooLarge);
  const std::uint64_t end = std::min(maximum - position, std::uint64_t{buffer.remaining()}) + position;
  if (end > INT32_MAX) TRY(volume().allow_large_files());
  if (end > size()) TRY(finish_truncation());
  if (position > size()) TRY(zero_tail());

  const std::size_t before = buffer.transferred();
  Result<> outcome;
  while (outcome && buffer.remaining() > 0 && position < maximum) {
    // With the lock held throughout: nobody's bytes come between, be memory ever so short.
    outcome = with_relief([&] {
      const std::size_t in_page = position % kPageSize;
      const std::size_t count =
          std::min<std::uint64_t>({kPageSize - in_page, maximum - position, buffer.remaining()});
      return write_to_page(position, count, buffer, position);
    });
  }
  if (buffer.transferred() != before) contents_changed();
  if (outcome) outcome = limit_dirty_pages();
  return outcome;
}

// Copies into one page and moves `written` behind what was copied. The page is loaded first, even when it is
// going to be overwritten whole: the copy may end at a bad address in the middle.
Result<> Ext2Inode::write_to_page(std::uint64_t position, std::size_t count, IoBuffer& buffer,
                                  std::uint64_t& written) {
  const std::uint64_t index = position / kPageSize;
  const Frame frame = TRY(page_for_write(index, false));
  // From here on the page is not reclaimed, for the frame has a second owner; so blocks may be fresh on the
  // disk.
  std::size_t room = 0;
  Result<> outcome = allocate_range(position, count, room);
  const std::size_t before = buffer.transferred();
  if (room > 0) {
    // What makes memory free may write the inode to the disk, which now has blocks beyond its end.
    const Result<> copied = buffer.get_unrelieved(frame.bytes().subspan(position % kPageSize, room));
    if (!copied) outcome = copied;
  }
  written = position + (buffer.transferred() - before);
  // The size first: write-back skips what lies beyond it. Dirty even when nothing was copied, for the sake of
  // blocks that hold what somebody else left there.
  if (written > position) grow(written);
  PageCache::mark_dirty(index);
  note_unwritten_change();
  ++pages_written_;
  if (written < position + room) {
    const MutexGuard map_guard(map_lock_);
    (void)free_blocks_beyond_end(map_guard);  // the writer's error is the one to be told
  }
  return outcome;
}

// Gives the bytes from `position` on blocks on the disk: `room` of `count` bytes have got them when it
// returns.
Result<> Ext2Inode::allocate_range(std::uint64_t position, std::size_t count, std::size_t& room) {
  const std::size_t block_size = volume().block_size();
  MutexGuard guard(map_lock_);
  room = 0;
  while (room < count) {
    const std::uint64_t block = (position + room) / block_size;
    if (TRY(map().find_or_allocate(block)).fresh) mark_dirty_inode();
    room = std::min<std::uint64_t>(count, (block + 1) * block_size - position);
  }
  return {};
}

// The file has become shorter, or a write has ended before the bytes that it had got blocks for. What cannot
// be freed now is tried again by finish_truncation().
Result<> Ext2Inode::free_blocks_beyond_end(const MutexGuard&) {
  const std::size_t block_size = volume().block_size();
  mark_dirty_inode();  // before a block is free: a commit that lets others have it stores the inode
  const Result<> freed = map().truncate((size() + block_size - 1) / block_size);
  blocks_beyond_end_ = !freed.has_value();
  mark_dirty_inode();
  return freed;
}

// Before the file grows, and when it is stored: blocks that are left over from a longer file would show their
// old contents.
Result<> Ext2Inode::finish_truncation() {
  const MutexGuard guard(map_lock_);
  if (!blocks_beyond_end_) return {};
  return free_blocks_beyond_end(guard);
}

Result<> Ext2Inode::limit_dirty_pages() {
  if (pages_written_ < kDirtyPageLimit) return {};
  pages_written_ = 0;
  return write_back(0, UINT64_MAX);
}

// Before the file grows past a hole: what a mapping may have left in the last page behind the end becomes
// part of the file, and has to be zero.
Result<> Ext2Inode::zero_tail() {
  const std::size_t used = size() % kPageSize;
  if (used == 0) return {};
  const std::uint64_t index = size() / kPageSize;
  const Frame frame = TRY(page_for_write(index, false));
  const auto tail = frame.bytes().subspan(used);
  if (all_zero(tail)) return {};
  std::memset(tail.data(), 0, tail.size());
  mark_dirty(index);
  return {};
}

Result<> Ext2Inode::truncate(std::uint64_t size) {
  if (kind_ == FileKind::Directory) return failure(KernelError::IsDirectory);
  if (kind_ != FileKind::Regular) return failure(KernelError::InvalidArgument);
  TRY(volume().check_writable());
  if (size > maximum_size()) return failure(KernelError::FileTooLarge);
  if (size > INT32_MAX) TRY(volume().allow_large_files());
  MutexGuard guard(contents_lock_);
  const std::uint64_t old_size = this->size();
  if (size > old_size) {
    TRY(finish_truncation());
    TRY(zero_tail());
  }
  TRY(truncate_pages(size));
  if (size < old_size) {
    // The rest of the last page has become zero and must be so on the disk: a file that grows again shows it.
    if (size % kPageSize != 0) mark_dirty(size / kPageSize);
    const MutexGuard map_guard(map_lock_);
    // The file has its new size, whatever comes of this; what fails is tried again.
    (void)free_blocks_beyond_end(map_guard);
  }
  contents_changed();
  return {};
}

// With the file, everything: the directories that name it are made of what other files need as well.
Result<> Ext2Inode::synchronize() {
  TRY(write_back(0, UINT64_MAX));
  return file_system_.commit();
}

Result<> Ext2Inode::read_pages(std::uint64_t first, std::span<const Pa> frames) {
  if (kind_ != FileKind::Regular) return failure(KernelError::NotSupported);
  const std::size_t block_size = volume().block_size();
  const std::size_t per_page = kPageSize / block_size;
  const std::size_t total = frames.size() * per_page;
  TransferBatch batch(volume().device(), BlockRequest::Kind::Read);
  MutexGuard guard(map_lock_);
  for (std::size_t done = 0; done < total;) {
    const std::uint64_t logical = first * per_page + done;
    BlockRun run{0, static_cast<std::uint32_t>(total - done)};
    if (logical * block_size < size()) run = TRY(map().find(logical, run.count));
    for (std::uint32_t i = 0; i < run.count; ++i, ++done) {
      std::byte* page = PageRef::from_pa(frames[done / per_page]).data();
      const std::span<std::byte> memory(page + done % per_page * block_size, block_size);
      if (run.is_hole()) {
        std::memset(memory.data(), 0, memory.size());
      } else {
        batch.add(std::uint64_t{run.first + i} * (block_size / kSectorSize), memory);
      }
    }
  }
  guard.release();
  return batch.finish();
}

Result<> Ext2Inode::write_pages(std::uint64_t first, std::span<const Pa> frames) {
  const std::size_t block_size = volume().block_size();
  const std::size_t per_page = kPageSize / block_size;
  TransferBatch batch(volume().device(), BlockRequest::Kind::Write);
  Result<> outcome;
  if (written_through_mapping_.load(std::memory_order_relaxed)) contents_changed();
  MutexGuard guard(map_lock_);
  for (std::size_t done = 0; done < frames.size() * per_page; ++done) {
    const std::uint64_t logical = first * per_page + done;
    if (logical * block_size >= size()) break;
    std::byte* page = PageRef::from_pa(frames[done / per_page]).data();
    const std::span<std::byte> memory(page + done % per_page * block_size, block_size);
    const Result<BlockNumber> block = block_for_write_back(logical, memory);
    if (!block) {
      if (outcome) outcome = failure(block.error());
    } else if (*block != 0) {
      batch.add(std::uint64_t{*block} * (block_size / kSectorSize), memory);
    }
  }
  guard.release();
  const Result<> written = batch.finish();
  return outcome ? written : outcome;
}

// write() has allocated its blocks already. A page that was written through a mapping may lie over a hole;
// what is still zero there stays a hole (0).
Result<BlockNumber> Ext2Inode::block_for_write_back(std::uint64_t logical,
                                                    std::span<const std::byte> memory) {
  const BlockRun run = TRY(map().find(logical, 1));
  if (!run.is_hole()) return run.first;
  if (all_zero(memory)) return 0;
  const BlockMap::Placed placed = TRY(map().find_or_allocate(logical));
  mark_dirty_inode();
  return placed.block;
}

}  // namespace faultline::ext2
