#pragma once
// One simulated hart: satp, an adversarial TLB, and the Sv39 walk that fills it.
//
// A hart speculates: right after a fence it fetches again every translation it was made to forget, before the
// code that fenced goes on. So a fence that comes before the change of the entry, or before the release of
// the frame, leaves the old translation in place, as it could on real hardware.
//
// An access holds the hart's lock from translation to data, so a fence from elsewhere returns only when no
// access by an old translation is under way: what a hardware fence promises.

#include <cstdint>
#include <expected>
#include <mutex>
#include <optional>

#include "kernel/mm/permission.hpp"
#include "kernel/mm/platform.hpp"
#include "test/host/machine/frame_arena.hpp"
#include "test/host/machine/tlb.hpp"

namespace faultline::sim {

/// A page fault as the trap handler sees it: scause says which access, stval where.
struct PageFault {
  Access access;
  Va va;
};

class Hart {
 public:
  Hart(FrameArena& arena, HartId id) : arena_(arena), id_(id), tlb_(arena) {}

  HartId id() const { return id_; }

  /// Writes satp. Nothing is flushed.
  void write_satp(std::optional<Satp> satp);
  std::optional<Satp> satp() const;

  void fence(const FenceScope& scope);
  /// An SFENCE.VMA without operands.
  void fence_everything();

  /// One attempt at an access of `size` bytes (1, 2, 4 or 8, naturally aligned). `value` is what a store
  /// writes. Yields what a load or fetch reads.
  std::expected<std::uint64_t, PageFault> access(Va va, Access access, unsigned size,
                                                 std::uint64_t value = 0);

  /// Fetches the translation of a page as a prefetcher might, if nothing is remembered of it.
  void speculate(Va va);
  void evict(std::uint64_t random);

  /// As most real harts: no look ahead after a fence, and no memory of what was not valid.
  void set_gentle(bool gentle);

  /// Reports a failure for every remembered translation of the running space that allows more than its page
  /// table does now: what no operation of the kernel may leave behind when it returns.
  void check_coherence();
  /// Reports a failure if the running space leads to the frame: called when it is released.
  void check_unused(Pa frame);

  std::size_t tlb_size() const;

 private:
  struct WalkEnd {
    Pa slot;  // address of the entry at which the walk ended
    std::uint64_t pte;
    unsigned level;
    bool leaf;  // a well-formed user leaf
  };

  WalkEnd walk(std::uint64_t page, bool use_cache);
  const TlbEntry* translate(std::uint64_t page);
  const TlbEntry* fetch(std::uint64_t page, std::uint64_t accessed_or_dirty);
  TlbEntry make_entry(TlbEntry::Kind kind, const WalkEnd& end, std::uint64_t page, Pa frame) const;
  void check_entry_in_use(const TlbEntry& entry);
  std::uint64_t* slot_pointer(Pa slot) const;

  FrameArena& arena_;
  const HartId id_;
  mutable std::mutex mutex_;
  std::optional<Satp> satp_;
  Tlb tlb_;
  bool gentle_ = false;
};

}  // namespace faultline::sim
