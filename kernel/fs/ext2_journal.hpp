#pragma once
// The journal of an ext3 disk (the format is e2fsprogs' "jbd2"): where changed metadata is written as one
// before it goes to its own places. e2fsck, Linux and replay() below bring a disk up to date from it.
//
// The journal is a file whose blocks never move. All numbers in it are big-endian:
//
//     block 0      its superblock: where the oldest transaction begins (0: there is none), and its number
//     behind it    [descriptor: which blocks follow] [block] ... [descriptor] [block] ... [commit]
//
// Here transactions take turns at the two halves, and the blocks of one are in their own places before the
// next begins. So there is at most one to replay; it stays whole until the superblock names the next one; and
// no block can have got another meaning since (Volume::free_block holds back what a transaction has not freed
// yet): no revocation is ever written.
//
//     descriptors and blocks, superblock with the transaction's number | flush | commit block | flush
//
// A power failure before the commit block leaves a transaction without an end, which counts for nothing.

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/fs/buffer_cache.hpp"
#include "kernel/fs/ext2_format.hpp"
#include "kernel/lib/heap.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/lib/vector.hpp"

namespace faultline::ext2 {

class Volume;

class Journal final : public BufferLog {
 public:
  /// Reads the journal of a volume that has one. Errors: NotSupported for one with features not known here,
  /// Corrupt, InputOutput, OutOfMemory.
  static Result<Box<Journal>> open(Volume& volume);

  /// Writes what complete transactions hold to its place, and leaves the journal empty. Returns the number of
  /// transactions. Error: Corrupt, InputOutput, OutOfMemory.
  Result<std::uint32_t> replay();
  /// Everything is in its place: nothing to replay any more.
  Result<> mark_empty();

  std::size_t capacity() const override { return (half() - 1) / (kMost + 1) * kMost; }
  Result<> begin() override;
  Result<> add(std::span<const Block> blocks) override;
  Result<> commit() override;

 private:
  template <class T, class... Arguments>
  friend Result<Box<T>> faultline::make_box(Arguments&&... arguments);
  explicit Journal(Volume& volume) : volume_(volume) {}

  static constexpr std::size_t kMost = BlockRequest::kMaxPieces;  // blocks of one descriptor

  struct Head;
  struct Tag;
  Result<> load();
  Result<> store_superblock(std::uint32_t start);
  Result<> write_at(std::uint32_t position, std::span<std::byte> bytes);
  Result<> read_at(std::uint32_t position, std::span<std::byte> bytes);
  Result<std::uint32_t> complete_transactions();
  template <class F>
  Result<> for_each_copy(std::uint32_t transactions, F f);
  Head& head_of(Vector<std::byte>& block) const;
  void set_head(std::uint32_t kind);
  std::uint32_t after(std::uint32_t position) const;
  std::uint32_t half() const { return (static_cast<std::uint32_t>(blocks_.size()) - first_) / 2; }

  Volume& volume_;
  Vector<std::uint32_t> blocks_;  // of the disk, by the journal's own numbers
  Vector<std::byte> superblock_, block_;
  std::uint32_t first_ = 0;
  std::uint32_t sequence_ = 0;  // of the transaction that is written next, or replayed first
  std::uint32_t start_ = 0;     // where that begins; 0 when there is none to replay
  std::uint32_t position_ = 0;  // where the next block goes
};

}  // namespace faultline::ext2
