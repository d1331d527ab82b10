#pragma once
// Where a file's blocks lie on the disk.
//
// RawInode::blocks holds 15 numbers. With N = block size / 4 pointers in a block:
//
//     blocks[0..11]   data                                     logical blocks 0 .. 11
//     blocks[12]   -> N data                                   the next N
//     blocks[13]   -> N -> N data                              the next N^2
//     blocks[14]   -> N -> N -> N data                         the next N^3
//
// A zero anywhere stands for a hole. Numbers come from the disk, so each is checked before it is followed; a
// loop of pointers is cut by the depth, and when blocks are freed by the bitmap, where a block is free only
// once.

#include <cstdint>
#include <span>

#include "kernel/fs/ext2_format.hpp"
#include "kernel/fs/ext2_volume.hpp"
#include "kernel/lib/result.hpp"

namespace faultline::ext2 {

/// Neighbouring blocks of a file that are neighbours on the disk too, or are all missing (first == 0).
struct BlockRun {
  BlockNumber first;
  std::uint32_t count;  // at least 1
  bool is_hole() const { return first == 0; }
};

/// A view of one inode's map. The caller holds the lock that covers the inode's blocks and sectors fields,
/// and marks the inode dirty after a change.
class BlockMap {
 public:
  BlockMap(Volume& volume, InodeNumber owner, RawInode& inode)
      : volume_(volume), owner_(owner), inode_(inode) {}

  /// The number of blocks that can be addressed with blocks of this size: the format's limit.
  static constexpr std::uint64_t limit(std::size_t block_size) {
    const std::uint64_t n = block_size / sizeof(BlockNumber);
    return kDirectBlocks + n + n * n + n * n * n;
  }

  /// The run that starts at `logical`, at most `most` (> 0) blocks of it; the real run may be longer.
  /// Errors: Corrupt, InputOutput.
  Result<BlockRun> find(std::uint64_t logical, std::uint32_t most);

  struct Placed {
    BlockNumber block;
    bool fresh;  // just allocated: its old contents mean nothing
  };
  /// The block at `logical`, allocated if there was none. Errors: FileTooLarge beyond the limit, NoSpace,
  /// Corrupt, InputOutput; then nothing has changed.
  Result<Placed> find_or_allocate(std::uint64_t logical);

  /// Frees every block from `first` on. Stops at an error; what is not free then still has its place in the
  /// map, so that another call goes on from there. Errors: Corrupt, InputOutput, OutOfMemory.
  Result<> truncate(std::uint64_t first);

 private:
  // The way to a block: an index into inode_.blocks and one into each of `levels` indirect blocks.
  struct Route {
    unsigned levels;
    std::uint32_t index[4];
  };
  std::uint32_t pointers() const {
    return static_cast<std::uint32_t>(volume_.block_size() / sizeof(BlockNumber));
  }
  Result<Route> route_to(std::uint64_t logical) const;
  Result<BlockNumber> checked(BlockNumber block) const;
  BlockNumber goal_for(std::span<const BlockNumber> table, std::uint32_t index, BlockNumber holder) const;
  Result<BlockNumber> build_branch(const Route& route, unsigned level, BlockNumber goal, BlockNumber& top);
  Result<> free_branch(BlockNumber& pointer, unsigned level, std::uint64_t keep);
  void account(std::int64_t blocks);

  Volume& volume_;
  InodeNumber owner_;
  RawInode& inode_;
};

}  // namespace faultline::ext2
