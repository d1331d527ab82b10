#pragma once
// Truncation against faults, fork and mremap, in every order of their steps (kernel/mm/regular_file.hpp).
//
// Files, page tables and pagers are compiled here a second time, in a namespace of their own. The steps are
// what the two sides can notice of each other:
//
//   the file's size and its count of truncations   each access
//   locks of page tables, and of the page cache    what is done under one is a single step: whatever else
//                                                  touches the same takes it as well. The lock of a level-1
//                                                  table covers those of its last-level tables
//   the lock of the file's mappings                a step to take it, and steps under it
//   reading a page into memory, a user's access    one each
//
// What a fault reads without a lock, it compares under the lock of the last-level table before it changes
// anything. Fences and frames are the business of tlb_order_test.cpp; the machine reports a frame that is
// released twice, too early, or never.

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "kernel/lib/list.hpp"
#include "kernel/lib/ref.hpp"
#include "kernel/mm/address_space_lock.hpp"
#include "kernel/mm/memory_system.hpp"
#include "kernel/mm/page_source.hpp"
#include "kernel/mm/pte.hpp"
#include "kernel/mm/radix_tree.hpp"
#include "kernel/mm/statistics.hpp"
#include "test/host/machine/machine.hpp"
#include "test/host/stepping.hpp"

namespace faultline::files_in_steps {

using faultline::count;
using faultline::panic;
namespace detail {
using faultline::detail::take;
}

namespace platform {
using namespace faultline::platform;

using Word = stepping::atomic<std::uint32_t>;
inline void wait_while_equal(const Word& word, std::uint32_t expected) {
  stepping::orders->wait_until([&word, expected] { return word.peek() != expected; });
}
inline void wake_waiters(const Word&) {}
}  // namespace platform

/// Whether truncation may meet somebody else who holds the lock of a file's mappings. A fault never takes it.
inline bool mappings_are_contended = false;

// Objects, since a call would find the functions of this name as well.
inline constexpr auto lock_rank_acquired = [](LockRank) {
  stepping::step();
  ++stepping::undivided;
};
inline constexpr auto lock_rank_released = [](LockRank) { --stepping::undivided; };

class SpinLock {
 public:
  explicit constexpr SpinLock(LockRank rank) : rank_(rank) {}
  void lock() {
    if (rank_ != LockRank::FileMappings) {
      lock_rank_acquired(rank_);
    } else if (mappings_are_contended) {
      stepping::orders->wait_until([this] { return !held_; });
    }
    ASSERT(!held_);
    held_ = true;
  }
  void unlock() {
    held_ = false;
    if (rank_ != LockRank::FileMappings) lock_rank_released(rank_);
  }

 private:
  LockRank rank_;
  bool held_ = false;
};

class [[nodiscard]] SpinGuard {
 public:
  explicit SpinGuard(SpinLock& lock) : lock_(&lock) { lock.lock(); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;
  ~SpinGuard() {
    if (lock_ != nullptr) lock_->unlock();
  }
  void release() { std::exchange(lock_, nullptr)->unlock(); }

 private:
  SpinLock* lock_;
};

}  // namespace faultline::files_in_steps

#define faultline faultline::files_in_steps
#define std stepping
#include "kernel/mm/page_cache.hpp"
#undef std
#include "kernel/mm/area_pager.cpp"
#include "kernel/mm/area_pages.cpp"
#include "kernel/mm/eager_pager.cpp"
#include "kernel/mm/lazy_pager.cpp"
#include "kernel/mm/lazy_pager_fault.cpp"
#include "kernel/mm/loader.cpp"
#include "kernel/mm/page_cache.cpp"
#include "kernel/mm/page_cache_reclaim.cpp"
#include "kernel/mm/page_table.cpp"
#include "kernel/mm/page_table_range.cpp"
#include "kernel/mm/page_table_share.cpp"
#include "kernel/mm/regular_file.cpp"
#include "kernel/mm/tlb.cpp"
#include "kernel/mm/vm_area.cpp"
#undef faultline

namespace faultline::sim {
namespace {

using files_in_steps::EagerPager;
using files_in_steps::LazyPager;
using files_in_steps::MmStruct;
using files_in_steps::Sharing;
using files_in_steps::Space;
using stepping::step;

constexpr HartId kTruncating = hart_id(0), kOther = hart_id(1), kChilds = hart_id(2);
constexpr Va kStays = Va::checked(0x4000'0000), kGoes = kStays + kPageSize;
/// Reached through tables of its own.
constexpr Va kElsewhere = kStays + kGigapageSize;
constexpr VaRange kFirst(kStays, kGoes), kSecond(kGoes, kGoes + kPageSize);
constexpr VaRange kBoth(kStays, kSecond.end());
constexpr std::uint64_t kContents = 0x5a;

/// While it lives, this thread takes no steps.
struct [[nodiscard]] Undivided {
  Undivided() { ++stepping::undivided; }
  Undivided(const Undivided&) = delete;
  Undivided& operator=(const Undivided&) = delete;
  ~Undivided() { --stepping::undivided; }
};

/// Two pages, of which truncation leaves one.
class ShrinkingFile final : public files_in_steps::PageCache {
 public:
  ~ShrinkingFile() override { drop_all_pages(); }

  std::uint64_t size() const override {
    if (platform::current_hart() != kTruncating) return PageCache::size();
    // Nobody else changes the size, so it does not matter when truncation reads it.
    const Undivided look;
    return PageCache::size();
  }
  void truncate() { CHECK(truncate_pages(kPageSize).has_value()); }

 protected:
  Result<> read_pages(std::uint64_t, std::span<const Pa> frames) override {
    step();
    for (const Pa frame : frames) std::memset(platform::frame_bytes(frame), kContents, kPageSize);
    return {};
  }
  Result<> write_pages(std::uint64_t, std::span<const Pa>) override { return {}; }
};

/// A program that maps the file; two harts run it, and one of them truncates the file.
template <class P>
class Stage {
 public:
  Stage(Interleavings& orders, Sharing sharing) : sharing_(sharing) {
    stepping::orders = &orders;
    file->grow(kPageSize);
    run(kTruncating, mm.space());
    run(kOther, mm.space());
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() {
    leave(kTruncating, mm.space());
    leave(kOther, mm.space());
    if (child) leave(kChilds, child->space());
  }

  void map(VaRange range, Permission permission = Permission::read_write()) {
    CHECK(mm.mmap(range.start(), range.size(), permission, {.fixed = true, .sharing = sharing_}, file.get(),
                  static_cast<std::uint64_t>(range.start() - kStays))
              .has_value());
  }
  Result<VaRange> move(VaRange from, std::size_t size) {
    return mm.remap(from, size, {.may_move = true, .fixed = kElsewhere});
  }
  /// The file gets its second page, and has both in memory.
  void grow() {
    file->grow(2 * kPageSize);
    CHECK(file->page(0).has_value());
    const Frame goes = *file->page(1);
    frame_that_goes_ = goes.pa();
    serial_that_goes_ = serial_of(goes.pa());
  }

  /// An access by the program, as often as its faults can be resolved. The contents, or the error.
  Result<std::uint64_t> access(Va va, Access access, HartId hart = kOther) {
    const OnHart here(hart);
    for (;;) {
      step();
      const auto done = Machine::current().hart(hart).access(va, access, 1, kContents);
      if (done) return *done;
      TRY(run_by(hart).handle_page_fault({va, access}));
      // Or the hart could remember that there was nothing, and fault once more: as many orders again.
      const Va page = va.page();
      platform::fence_local({run_by(hart).space().asid(), VaRange(page, page + kPageSize)});
    }
  }
  /// That page was there in time, or there is none. What a mapping shows is in the file's cache, so that
  /// read() shows the same: mappings lose a page first.
  void access_page_that_goes(Access how, HartId hart = kOther) {
    const Result<std::uint64_t> done = access(kGoes, how, hart);
    if (!done) {
      CHECK(done.error() == KernelError::BeyondEndOfFile);
      return;
    }
    CHECK_FALSE(truncated_);
    if (how == Access::Read) CHECK(*done == kContents);
    const Undivided look;
    CHECK(file->cached_page_count() == 2);
  }

  void truncate() {
    file->truncate();
    truncated_ = true;
  }

  /// Hart `kChilds` runs the child.
  void fork() {
    Result<MmStruct<P>> forked = mm.fork();
    CHECK(forked.has_value());
    child.emplace(std::move(*forked));
    run(kChilds, child->space());
  }

  /// Nobody has the page that goes, and nobody gets it at that address.
  void check_gone(Va va) {
    check_gone_from(kOther, va);
    check_gone_from(kTruncating, va);
    if (child) check_gone_from(kChilds, va);
    CHECK(file->cached_page_count() == 1);
    // Freed; its place may hold something else by now.
    if (frame_that_goes_) CHECK(serial_of(*frame_that_goes_) != serial_that_goes_);
    Machine::current().check_coherence();
  }

 private:
  static std::uint32_t serial_of(Pa frame) { return Machine::current().frames().serial(frame); }

  static void run(HartId id, Space& space) {
    const OnHart here(id);
    const auto [root, asid, flush] = space.activate(id);
    Hart& hart = Machine::current().hart(id);
    hart.write_satp(Satp{asid, root});
    hart.fence_everything();
  }
  static void leave(HartId id, Space& space) {
    if (!space.active_harts().contains(id)) return;
    const OnHart here(id);
    Machine::current().hart(id).write_satp(std::nullopt);
    space.deactivate(id);
  }

  MmStruct<P>& run_by(HartId hart) { return hart == kChilds ? *child : mm; }
  void check_gone_from(HartId hart, Va va) {
    CHECK_FALSE(run_by(hart).walk(va).has_value());
    const Result<std::uint64_t> read = access(va, Access::Read, hart);
    CHECK_FALSE(read.has_value());
    // An operation without success may have left nothing there that allows the access.
    const bool allowed = run_by(hart).access_ok(VaRange(va, va + 1), Access::Read);
    if (!read && allowed) CHECK(read.error() == KernelError::BeyondEndOfFile);
  }

  const Sharing sharing_;
  bool truncated_ = false;
  std::optional<Pa> frame_that_goes_;
  std::uint32_t serial_that_goes_ = 0;

 public:
  Ref<ShrinkingFile> file = *make_ref<ShrinkingFile>();
  MmStruct<P> mm = *MmStruct<P>::create();
  std::optional<MmStruct<P>> child;
};

/// Whether the other one takes the lock of the file's mappings, as all but faults do.
enum class Other : std::uint8_t { Faults, ChangesMappings };

/// Every order of the file's truncation, and of what the other hart does, after `prepare`; then nobody has
/// the page that goes, at `gone` or anywhere.
template <class P, class Prepare, class Work>
std::size_t run_all_orders(Sharing sharing, Other other, Prepare prepare, Work work, Va gone = kGoes) {
  Machine machine(64);
  const Box<MemorySystem> system = *MemorySystem::create(std::nullopt, 16);
  const std::size_t frames = machine.frames_in_use(), objects = machine.objects_in_use();
  Interleavings orders;
  std::optional<Stage<P>> stage;
  files_in_steps::mappings_are_contended = other == Other::ChangesMappings;
  return orders.run_all(
      [&]() -> std::vector<Interleavings::Work> {
        stage.emplace(orders, sharing);
        prepare(*stage);
        return {[&] {
                  const OnHart here(kTruncating);
                  stage->truncate();
                },
                [&] {
                  const OnHart here(kOther);
                  work(*stage);
                }};
      },
      [&] {
        stage->check_gone(gone);
        stage.reset();
        CHECK(machine.frames_in_use() == frames);
        CHECK(machine.objects_in_use() == objects);
      });
}

/// Both pages can be mapped, or be made by the next fault.
template <class P>
void grow(Stage<P>& stage) {
  stage.grow();
}
template <class P>
void map_and_grow(Stage<P>& stage) {
  stage.map(kBoth);
  stage.grow();
}

}  // namespace
}  // namespace faultline::sim
