#pragma once
// Address-space identifiers with generations.
//
// satp holds an ASID of some bits (0 … 16); TLB entries carry it, so that a switch need not flush. Numbers
// run out: when all are given, the allocator starts a new generation. A number that some hart runs at that
// moment stays with its space; every other space takes a new number when it is next activated; every hart
// drops its whole TLB before it activates anything of the new generation. A dead space's number is not used
// again before that, so its TLB entries, wherever they linger, can never be hit.
//
// A fast activation takes no lock. It races against a rollover on another hart:
//
//   this hart                                     rollover (holds lock_)
//   v = space's ASID, of the current generation   generation_ += 1
//   running_[h]: compare-exchange old → v         old = running_[h].exchange(0): keeps the number it finds
//
// If the exchange comes first, the compare-exchange fails (0 is never expected) and the slow path takes the
// lock. If it comes second, it finds v, and v's number is kept. Either way the number in use on a hart is
// never given away.

#include <array>
#include <atomic>
#include <cstdint>

#include "kernel/lib/spin_lock.hpp"
#include "kernel/mm/hart_local.hpp"

namespace faultline {

/// An ASID and the generation it was given in. 0: none given yet.
using TaggedAsid = std::uint64_t;

class AsidAllocator {
 public:
  /// `bits`: how many ASID bits satp implements. With too few for every hart to hold its own (fewer than 5),
  /// all spaces use ASID 0 and every activation flushes.
  explicit AsidAllocator(unsigned bits);
  AsidAllocator(const AsidAllocator&) = delete;
  AsidAllocator& operator=(const AsidAllocator&) = delete;

  struct Assignment {
    Asid asid;
    bool flush_everything;  // this hart must drop its whole TLB before it uses the ASID
  };
  /// The ASID under which `hart`, which is the current one, now runs the space that stores `tagged`.
  Assignment assign(std::atomic<TaggedAsid>& tagged, HartId hart);

  /// The bare ASID of a space, for fences. Under this number harts have run it since the last rollover.
  Asid bare(TaggedAsid tagged) const { return enabled_ ? static_cast<Asid>(tagged & kNumberMask) : Asid{0}; }

 private:
  static constexpr unsigned kMaxBits = 16;
  static constexpr TaggedAsid kNumberMask = (TaggedAsid{1} << kMaxBits) - 1;
  static constexpr TaggedAsid kGenerationStep = TaggedAsid{1} << kMaxBits;

  TaggedAsid renew(TaggedAsid old, const SpinGuard& proof);
  void roll_over(const SpinGuard& proof);
  bool keep_reserved(TaggedAsid old, TaggedAsid renewed, const SpinGuard& proof);
  bool take_number(std::uint64_t number);

  struct HartState {
    std::atomic<TaggedAsid> running = 0;
    TaggedAsid reserved = 0;     // what ran at the last rollover; under lock_
    bool flush_pending = false;  // under lock_
  };

  const bool enabled_;
  const std::uint32_t count_;
  SpinLock lock_{LockRank::PageTable};
  std::atomic<TaggedAsid> generation_ = kGenerationStep;
  std::uint32_t next_ = 1;
  std::array<std::uint64_t, (std::size_t{1} << kMaxBits) / 64> used_{};  // one bit for each number
  HartLocal<HartState> harts_;
};

}  // namespace faultline
