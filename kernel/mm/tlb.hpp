#pragma once
// Address spaces as the TLBs see them, and the one way to take rights or frames away from them.
//
// Rule: no frame is freed, and no narrowing returns, before every hart that could use the old entry has
// fenced.
//
//   StaleEntry  what unmapping or narrowing an entry yields: a debt. It keeps the frame alive, and panics
//               when dropped.
//   TlbBatch    takes the debts, fences once for all of them, waits for the other harts, then lets the
//               frames go.
//
// Which harts: those that run the space now (Space::active). A hart that ran it earlier may hold entries as
// well, but is not interrupted: it compares generations when it next activates the space. Timeline of the
// only race:
//
//   hart A, a batch                             hart B, a switch to the space
//   1  write the entries                        a  active |= B
//   2  generation += 1                          b  take or renew the ASID
//   3  read active; fence those harts           c  read generation; flush the ASID unless it was seen last
//
// All steps are sequentially consistent. If 3 sees B's bit, A interrupts B and waits. If not, then a comes
// after 3 and so c comes after 2: B sees the new generation and flushes, after 1. A stale ASID read by A in
// step 3 means that b came later, so c comes after 2 as well. `seen` is never recorded when a hart leaves the
// space: between leaving and recording, a batch could raise the generation without interrupting the hart, and
// the hart would then claim to have seen it.
//
// Entries of a space that no hart runs may stay in TLBs after its frames are freed. Nothing can translate
// through them: the ASID is used again only after a flush (above, or the rollover in asid.hpp).

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "kernel/mm/asid.hpp"
#include "kernel/mm/frame.hpp"
#include "kernel/mm/hart_local.hpp"

namespace faultline {

/// What a hart must do to run a space: write satp from `root` and `asid`, then carry out `flush`, before it
/// touches any user address.
struct Activation {
  enum class Flush : std::uint8_t {
    Nothing,
    Space,      // everything under this ASID
    Everything  // the hart's whole TLB
  };
  Pa root;
  Asid asid;
  Flush flush;
};

/// One address space: its root table, its ASID and the harts that run it. Stays at one address for its whole
/// life.
class Space {
 public:
  explicit Space(Pa root) noexcept : root_(root) {}
  Space(const Space&) = delete;
  Space& operator=(const Space&) = delete;
  ~Space() { ASSERT(!is_active()); }

  Pa root() const noexcept { return root_; }
  Asid asid() const noexcept;

  /// Announces that `hart`, the current one, is about to run the space; called before satp is written.
  [[nodiscard]] Activation activate(HartId hart) noexcept;

  /// Announces that `hart`, the current one, has left the space; called after satp points elsewhere.
  void deactivate(HartId hart) noexcept;

  bool is_active() const noexcept { return active_.load() != 0; }
  HartSet active_harts() const noexcept { return HartSet::from_bits(active_.load()); }

  /// Drops one page's translation from the current hart, so that a widened entry takes effect without another
  /// fault.
  void refresh_local(Va page) const noexcept;

 private:
  friend class TlbBatch;
  const Pa root_;
  std::atomic<TaggedAsid> asid_ = 0;
  std::atomic<std::uint64_t> active_ = 0;      // bit for each hart
  std::atomic<std::uint64_t> generation_ = 1;  // raised by every batch
  HartLocal<std::uint64_t> seen_;  // generation each hart last flushed at; written by that hart only
};

/// A translation that TLBs may still hold though the table no longer says so. Hand it to a TlbBatch.
class [[nodiscard]] StaleEntry {
 public:
  enum class Level : std::uint8_t { Page, Table };

  /// `frame`: what the translation leads to and the entry owned; nothing where the entry owned nothing or
  /// only lost rights. `Table`: a non-leaf entry changed, so the fence must cover the whole space.
  StaleEntry(Space& space, Va va, Frame frame, Level level = Level::Page) noexcept
      : space_(&space), va_(va), frame_(std::move(frame)), level_(level) {}
  StaleEntry(StaleEntry&& other) noexcept
      : space_(std::exchange(other.space_, nullptr)),
        va_(other.va_),
        frame_(std::move(other.frame_)),
        level_(other.level_) {}
  StaleEntry& operator=(StaleEntry&&) = delete;
  ~StaleEntry() {
    if (space_ != nullptr) [[unlikely]]
      panic("a stale translation was dropped without a fence");
  }

 private:
  friend class TlbBatch;
  Space* space_;
  Va va_;
  Frame frame_;
  Level level_;
};

/// Collects the stale entries of one space; fences and releases their frames at finish() or when it dies.
/// Needs no memory and cannot fail. The lock that keeps the range from being mapped anew is held until then.
/// When more frames come than it can hold, it fences in between and goes on.
class TlbBatch {
 public:
  explicit TlbBatch(Space& space) noexcept : space_(space) {}
  TlbBatch(const TlbBatch&) = delete;
  TlbBatch& operator=(const TlbBatch&) = delete;
  ~TlbBatch() { finish(); }

  Space& space() const noexcept { return space_; }

  void absorb(StaleEntry&& entry) noexcept {
    ASSERT(entry.space_ == &space_);
    entry.space_ = nullptr;
    if (entry.level_ == StaleEntry::Level::Table) {
      whole_space_ = true;
    } else {
      note_page(entry.va_.value());
    }
    if (entry.frame_) {
      frames_[frame_count_++] = entry.frame_.leak().value();
      if (frame_count_ == kFrames) finish();
    }
  }

  /// Fences what was collected, on every hart that runs the space, and then releases the frames.
  void finish() noexcept {
    finish_with([] {});
  }
  /// Calls f in between: nobody reaches the pages any more, and their frames are still held.
  template <class F>
  void finish_with(F&& f) noexcept {
    if (is_empty()) return;
    fence();
    f();
    release_frames();
    run_count_ = 0;
    whole_space_ = false;
  }
  /// Calls take(chunk) for parts of a range, which removes entries or their D bits into this batch and
  /// returns a set of the pages that had been written, bit i for the i-th; then, when no hart can write to
  /// those unseen and their frames are still held, written(page) for each. Before the fence would be too
  /// early: another thread could write the page back and call it clean, and then a hart that remembers the
  /// entry write to it once more. After the release would be too late: the cache could drop a page that it
  /// takes for clean.
  template <class Take, class Written>
  void for_each_written(VaRange range, Take take, Written written) {
    finish();
    for (Va at = range.start(); at < range.end();) {
      const auto left_over = static_cast<std::uint64_t>(range.end() - at);
      const VaRange chunk(at, at + std::min<std::uint64_t>(kMostHeld * kPageSize, left_over));
      const std::uint64_t dirty = take(chunk);
      finish_with([&] {
        for (std::uint64_t left = dirty; left != 0; left &= left - 1)
          written(at + static_cast<std::uint64_t>(std::countr_zero(left)) * kPageSize);
      });
      at = chunk.end();
    }
  }
  /// So many pages can be absorbed after a finish() before the next one comes by itself.
  static constexpr std::size_t kMostHeld = 63;

 private:
  static constexpr std::size_t kFrames = kMostHeld + 1;
  static constexpr std::size_t kRanges = 8;
  /// More pages than this are fenced as a whole space.
  static constexpr std::size_t kPagesByAddress = 16;

  struct PageRun {
    std::uint64_t start;
    std::uint64_t end;
  };

  void note_page(std::uint64_t page) noexcept {
    if (whole_space_) return;
    if (run_count_ > 0 && runs_[run_count_ - 1].end == page) {
      runs_[run_count_ - 1].end += kPageSize;
    } else if (run_count_ < kRanges) {
      runs_[run_count_++] = {page, page + kPageSize};
    } else {
      whole_space_ = true;
    }
  }
  bool is_empty() const noexcept { return run_count_ == 0 && !whole_space_; }
  bool by_address() const noexcept;
  void fence() noexcept;
  void fence_this_hart(Asid asid, bool by_address) noexcept;
  void release_frames() noexcept;

  Space& space_;
  bool whole_space_ = false;
  std::uint32_t run_count_ = 0;
  std::uint32_t frame_count_ = 0;
  std::array<PageRun, kRanges> runs_;
  std::array<std::uint64_t, kFrames> frames_;
};

}  // namespace faultline
