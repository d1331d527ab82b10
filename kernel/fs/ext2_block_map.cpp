#include "kernel/fs/ext2_block_map.hpp"

#include <algorithm>

namespace faultline::ext2 {
namespace {

// How many entries from `index` on continue the run that begins there.
BlockRun run_in(std::span<const BlockNumber> table, std::uint32_t index, std::uint32_t most) {
  const BlockNumber first = table[index];
  std::uint32_t count = 1;
  while (count < most && index + count < table.size() &&
         table[index + count] == (first == 0 ? 0 : first + count))
    ++count;
  return {first, count};
}

}  // namespace

Result<BlockMap::Route> BlockMap::route_to(std::uint64_t logical) const {
  const std::uint64_t n = pointers();
  const auto digit = [&](std::uint64_t value) { return static_cast<std::uint32_t>(value % n); };
  if (logical < kDirectBlocks) return Route{0, {static_cast<std::uint32_t>(logical)}};
  logical -= kDirectBlocks;
  if (logical < n) return Route{1, {12, digit(logical)}};
  logical -= n;
  if (logical < n * n) return Route{2, {13, digit(logical / n), digit(logical)}};
  logical -= n * n;
  if (logical < n * n * n) return Route{3, {14, digit(logical / n / n), digit(logical / n), digit(logical)}};
  return failure(KernelError::FileTooLarge);
}

Result<BlockNumber> BlockMap::checked(BlockNumber block) const {
  if (block != 0 && !volume_.is_valid_block(block))
    return failure(volume_.damaged("wrong block number in inode", owner_));
  return block;
}

void BlockMap::account(std::int64_t blocks) {
  inode_.sectors +=
      static_cast<std::uint32_t>(blocks * static_cast<std::int64_t>(volume_.block_size() / kSectorSize));
}

Result<BlockRun> BlockMap::find(std::uint64_t logical, std::uint32_t most) {
  const Route route = TRY(route_to(logical));
  if (route.levels == 0) {
    const std::span<const BlockNumber> direct(inode_.blocks, kDirectBlocks);
    const BlockRun run = run_in(direct, route.index[0], most);
    TRY(checked(run.first));
    if (!run.is_hole()) TRY(checked(run.first + run.count - 1));
    return run;
  }
  BlockNumber block = TRY(checked(inode_.blocks[route.index[0]]));
  for (unsigned level = 1; level <= route.levels; ++level) {
    const std::uint32_t index = route.index[level];
    if (block == 0) return BlockRun{0, std::min(most, pointers() - route.index[route.levels])};
    const BufferRef table = TRY(volume_.buffers().read(block));
    if (level == route.levels) {
      const BlockRun run = run_in(table.words(), index, most);
      TRY(checked(run.first));
      if (!run.is_hole()) TRY(checked(run.first + run.count - 1));
      return run;
    }
    block = TRY(checked(table.words()[index]));
  }
  return failure(KernelError::Corrupt);
}

// Behind the block before it; else near the block that holds the pointer; else where the inode's group
// begins.
BlockNumber BlockMap::goal_for(std::span<const BlockNumber> table, std::uint32_t index,
                               BlockNumber holder) const {
  for (std::uint32_t i = index; i-- > 0;)
    if (table[i] != 0) return table[i] + 1;
  return holder != 0 ? holder + 1 : volume_.first_goal(owner_);
}

Result<BlockMap::Placed> BlockMap::find_or_allocate(std::uint64_t logical) {
  const Route route = TRY(route_to(logical));
  BufferRef holder;  // the indirect block whose entry is missing; nothing when it is the inode's own
  std::span<BlockNumber> table(inode_.blocks, kBlockPointers);
  unsigned level = 0;
  for (;; ++level) {
    const BlockNumber block = TRY(checked(table[route.index[level]]));
    if (block == 0) break;
    if (level == route.levels) return Placed{block, false};
    holder = TRY(volume_.buffers().read(block));
    table = holder.words();
  }
  const BlockNumber goal =
      goal_for(table, route.index[level], holder ? static_cast<BlockNumber>(holder.number()) : 0);
  BlockNumber top = 0;
  const BlockNumber data = TRY(build_branch(route, level, goal, top));
  table[route.index[level]] = top;
  if (holder) holder.mark_dirty();
  account(1 + route.levels - level);
  return Placed{data, true};
}

// Allocates the data block and the indirect blocks above it, from below `level` down, and links them with one
// another but not yet to the inode. `top` is the one to link. On an error everything is free again.
Result<BlockNumber> BlockMap::build_branch(const Route& route, unsigned level, BlockNumber goal,
                                           BlockNumber& top) {
  BlockNumber blocks[4] = {};
  const unsigned count = 1 + route.levels - level;
  const auto undo = [&](KernelError error) {
    for (const BlockNumber block : blocks)
      if (block != 0) (void)volume_.give_up_block(block);  // the first error is the one that counts
    return failure(error);
  };
  for (unsigned i = 0; i < count; ++i) {
    const Result<BlockNumber> block = volume_.allocate_block(goal);
    if (!block) return undo(block.error());
    blocks[i] = *block;
    goal = *block + 1;
  }
  for (unsigned i = 0; i + 1 < count; ++i) {
    const Result<BufferRef> indirect = volume_.buffers().zeroed(blocks[i]);
    if (!indirect) return undo(indirect.error());
    indirect->words()[route.index[level + i + 1]] = blocks[i + 1];
    indirect->mark_dirty();
  }
  top = blocks[0];
  return blocks[count - 1];
}

Result<> BlockMap::truncate(std::uint64_t first) {
  for (std::uint64_t i = first; i < kDirectBlocks; ++i) TRY(free_branch(inode_.blocks[i], 0, 0));
  std::uint64_t covered = kDirectBlocks;  // logical blocks in front of this tree
  std::uint64_t span = pointers();        // logical blocks in it
  for (unsigned level = 1; level <= 3; covered += span, span *= pointers(), ++level) {
    if (first >= covered + span) continue;
    TRY(free_branch(inode_.blocks[kDirectBlocks + level - 1], level, first > covered ? first - covered : 0));
  }
  return {};
}

// Frees the tree that `pointer` leads to (which is data when level is 0) but for its first `keep` logical
// blocks. When nothing is kept the tree's own block goes last, and with it the pointer.
Result<> BlockMap::free_branch(BlockNumber& pointer, unsigned level, std::uint64_t keep) {
  if (pointer == 0) return {};
  TRY(checked(pointer));
  if (level > 0) {
    std::uint64_t below = 1;  // logical blocks under one entry
    for (unsigned i = 1; i < level; ++i) below *= pointers();
    const BufferRef table = TRY(volume_.buffers().read(pointer));
    for (std::uint32_t i = static_cast<std::uint32_t>(keep / below); i < pointers(); ++i) {
      if (table.words()[i] == 0) continue;
      TRY(free_branch(table.words()[i], level - 1, i == keep / below ? keep % below : 0));
      if (table.words()[i] == 0) table.mark_dirty();
    }
  }
  if (keep == 0) {
    TRY(volume_.free_block(pointer));
    pointer = 0;
    account(-1);
  }
  return {};
}

}  // namespace faultline::ext2
