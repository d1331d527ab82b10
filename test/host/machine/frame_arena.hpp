#pragma once
// The physical memory of the simulated machine.
//
// Frames have synthetic physical addresses far from any host address, so that one taken for the other faults
// at once. The bytes behind them are a sparse host mapping: a machine of many gigabytes costs only what is
// touched.
//
// A frame that is not allocated is full of junk. The junk is checked when the frame is given out again (a
// difference is a write after free), and under AddressSanitizer the bytes are poisoned meanwhile (a read
// after free). Each allocation gets a serial number, so that a TLB entry can tell whether the frame it maps
// is still the one it was made for.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "kernel/mm/platform.hpp"

namespace faultline::sim {

class FrameArena {
 public:
  /// Near the top of what an entry can hold: 56 bits.
  static constexpr std::uint64_t kFirstPa = 0x00ab'1200'0000'0000;
  static constexpr unsigned kMaxOrder = 18;  // a block of 1 GiB

  explicit FrameArena(std::size_t frames);
  FrameArena(const FrameArena&) = delete;
  FrameArena& operator=(const FrameArena&) = delete;
  ~FrameArena();

  /// 2^order naturally aligned frames, or nothing when the arena is full. `Any` leaves junk in them.
  std::optional<Pa> allocate(unsigned order, FrameContents contents);
  /// Reports a failure for what is not the start of an allocated block of this order.
  void release(Pa block, unsigned order);

  /// Bytes of an allocated frame; reports a failure for any other.
  std::byte* bytes(Pa frame);
  FrameInfo& info(Pa frame);

  bool contains(Pa pa) const { return pa.value() >= kFirstPa && pa.value() - kFirstPa < frames_ * kPageSize; }
  /// Serial number of the allocation that holds this frame now; 0 when it is free or no frame at all.
  std::uint32_t serial(Pa frame) const;

  /// Number of TLB entries, of all harts, that lead to the frame.
  std::atomic<std::int32_t>& cached_translations(Pa frame) {
    return states_[index(frame)].cached_translations;
  }

  std::size_t frames() const { return frames_; }
  /// Bytes of the first frame; the others follow.
  const std::byte* base() const { return memory_.get(); }
  std::size_t allocated() const { return allocated_.load(std::memory_order_relaxed); }

  /// Addresses of all allocated frames, for the report of a leak.
  std::vector<Pa> allocated_frames() const;

 private:
  struct State {
    std::atomic<std::uint32_t> serial = 0;
    std::atomic<std::int32_t> cached_translations = 0;
    bool was_used = false;   // bytes hold junk from a release, not the host's zeroes
    std::uint8_t order = 0;  // of the block that starts here
    bool starts_block = false;
    FrameInfo info;
  };
  struct Unmap {
    std::size_t bytes = 0;
    void operator()(void* memory) const;
  };

  std::size_t index(Pa frame) const { return (frame.value() - kFirstPa) / kPageSize; }
  Pa pa(std::size_t index) const { return Pa::checked(kFirstPa + index * kPageSize); }
  std::byte* raw(std::size_t index) const { return memory_.get() + index * kPageSize; }
  std::optional<std::size_t> find_block(unsigned order);
  void check_junk(std::size_t index);

  std::size_t frames_;
  std::unique_ptr<std::byte, Unmap> memory_;
  std::unique_ptr<State, Unmap> state_memory_;
  State* states_;
  std::mutex mutex_;
  std::vector<std::size_t>
      free_[kMaxOrder + 1];      // last in, first out: the soonest reuse finds the most mistakes
  std::size_t next_single_ = 0;  // single frames are first taken from the bottom …
  std::size_t next_block_;       // … blocks from the top
  std::uint32_t next_serial_ = 1;
  std::atomic<std::size_t> allocated_ = 0;
};

}  // namespace faultline::sim
