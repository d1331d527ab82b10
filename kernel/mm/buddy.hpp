#pragma once
// Physical memory in blocks of 2^order frames.
//
//   BuddyAllocator  splits and merges blocks; one lock
//   FrameAllocator  in front of it, per hart and without a lock: magazines of free and of zeroed frames
//
// A free block keeps its links in the FrameInfo of its first frame, so that free memory itself is never
// touched.

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "kernel/lib/spin_lock.hpp"
#include "kernel/mm/frame.hpp"
#include "kernel/mm/hart_local.hpp"

namespace faultline {

inline constexpr unsigned kMaxOrder = 10;  // 4 MiB

class BuddyAllocator {
 public:
  /// Manages the frames of [first, first + frames * kPageSize), `info[i]` being the bookkeeping of frame i.
  /// All of them count as allocated until add_free_range.
  BuddyAllocator(Pa first, std::size_t frames, FrameInfo* info);
  BuddyAllocator(const BuddyAllocator&) = delete;
  BuddyAllocator& operator=(const BuddyAllocator&) = delete;

  /// Gives memory to the allocator: whole frames of [start, end), never given before.
  void add_free_range(Pa start, Pa end);

  /// 2^order naturally aligned frames, or nothing. Their reference counts are not touched.
  [[nodiscard]] std::optional<Pa> allocate(unsigned order);
  /// Panics when the block, or part of it, is free already.
  void release(Pa block, unsigned order);
  /// Releases single frames, given by their addresses, that a FrameAllocator kept; it knows that they are not
  /// free.
  void release_frames(std::span<const std::uint64_t> addresses);

  std::size_t free_frames() const { return free_frames_.load(std::memory_order_relaxed); }
  std::size_t total_frames() const { return total_frames_; }
  /// Behind the last frame.
  Pa end() const { return first_ + frames_ * kPageSize; }
  bool contains(Pa pa) const { return pa >= first_ && pa.page_number() - first_number_ < frames_; }
  FrameInfo& info(Pa pa) const { return info_[pa.page_number() - first_number_]; }

  /// Panics unless every free block is well-formed, disjoint, fully merged and counted. For tests; O(frames).
  void check();

 private:
  // Frames by index. A free block's first FrameInfo: table_lock = kFreeMark + order, tag = next and previous
  // index.
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  static constexpr std::uint32_t kFreeMark = 0x80000000;

  inline bool is_free_block(std::uint32_t index, unsigned order) const;
  inline void push(std::uint32_t index, unsigned order);
  inline void unlink(std::uint32_t index, unsigned order);
  void release_locked(std::uint32_t index, unsigned order);
  std::uint32_t next_of(std::uint32_t index) const;
  std::uint32_t previous_of(std::uint32_t index) const;
  void set_links(std::uint32_t index, std::uint32_t next, std::uint32_t previous);

  Pa first_;
  std::uint64_t first_number_;
  std::uint32_t frames_;
  FrameInfo* info_;
  SpinLock lock_{LockRank::FrameAllocator};
  std::array<std::uint32_t, kMaxOrder + 1> heads_;
  std::atomic<std::size_t> free_frames_ = 0;
  std::size_t total_frames_ = 0;
};

/// What platform::allocate_frame and its fellows are made of. One thread of execution per hart at a time.
class FrameAllocator {
 public:
  /// `release_reserve`, if there is one, is called when memory is out: it releases frames that others keep
  /// ready, and says whether there were any.
  explicit FrameAllocator(BuddyAllocator& buddy, bool (*release_reserve)() = nullptr)
      : buddy_(buddy), release_reserve_(release_reserve) {}

  /// The four as those of platform.hpp with `frame` or `block` in their names.
  [[nodiscard]] std::optional<Pa> allocate(FrameContents contents) {
    Magazine& magazine = magazines_[platform::current_hart()];
    const bool zeroed = contents == FrameContents::Zeroed;
    const std::uint32_t left = magazine.count.load(std::memory_order_relaxed);
    if (left == 0 || (zeroed && magazine.zeroed_count.load(std::memory_order_relaxed) != 0)) [[unlikely]]
      return allocate_otherwise(magazine, zeroed);
    magazine.count.store(left - 1, std::memory_order_relaxed);
    const Pa frame = Pa::checked(magazine.frames[left - 1]);
    info(frame).references.store(1, std::memory_order_relaxed);
    if (zeroed) PageRef::from_pa(frame).zero();
    return frame;
  }
  void release(Pa frame);
  [[nodiscard]] std::optional<Pa> allocate_block(unsigned order, FrameContents contents);
  void release_block(Pa block, unsigned order);

  /// For idle harts: zeroes one frame ahead of its use. False when enough are ready or memory is short.
  bool prepare_zeroed_frame();

  /// Frames that allocate could still return; exact when no hart is allocating.
  std::size_t free_frames() const;
  std::size_t total_frames() const { return buddy_.total_frames(); }
  FrameInfo& info(Pa pa) const { return buddy_.info(pa); }

  /// Gives the current hart's magazines back, so that blocks can merge.
  void drain();

 private:
  static constexpr std::size_t kMagazine = 64;
  static constexpr std::size_t kZeroed = 64;

  struct Magazine {
    std::atomic<std::uint32_t> count = 0;  // read by free_frames() of other harts
    std::atomic<std::uint32_t> zeroed_count = 0;
    std::array<std::uint64_t, kMagazine> frames;
    std::array<std::uint64_t, kZeroed> zeroed;
  };

  /// What allocate does when there is a zeroed frame to take, or no other one.
  std::optional<Pa> allocate_otherwise(Magazine& magazine, bool zeroed);
  std::optional<Pa> refill(Magazine& magazine);
  void spill(Magazine& magazine, std::uint32_t keep);

  BuddyAllocator& buddy_;
  bool (*release_reserve_)();
  HartLocal<Magazine> magazines_;
};

}  // namespace faultline
