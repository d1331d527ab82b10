#pragma once
// Areas: what an address space maps, before any page of it exists.
//
//   VmArea     one contiguous range with one permission and one loader
//   AreaIndex  all areas of a space: a height-balanced (AVL) tree by start address. Each node also knows the
//              free gap below it and the widest such gap in its subtree, so that a free range is found in
//              O(log n) as well.
//
// The index allocates nothing: nodes are made before anything changes, so that no operation stops half-way.

#include <cstdint>
#include <iterator>
#include <optional>

#include "kernel/lib/heap.hpp"
#include "kernel/lib/list.hpp"
#include "kernel/mm/address.hpp"
#include "kernel/mm/loader.hpp"
#include "kernel/mm/permission.hpp"

namespace faultline {

class Space;
class AreaIndex;
struct FileMappingTag;

enum class Sharing : std::uint8_t { Private, Shared };

/// What is true of an area beside its permission.
enum class AreaFlag : std::uint8_t {
  DontFork = 1,     // a child does not get it (MADV_DONTFORK)
  WipeOnFork = 2,   // a child finds zeroes (MADV_WIPEONFORK)
  Locked = 4,       // its contents may not be dropped (mlock)
  GrowsDown = 8,    // a fault below makes it longer (stacks)
  Unreserved = 16,  // memory was not promised (MAP_NORESERVE)
  WriteOnly = 32,   // reading was not asked for; no page can keep it out, but /proc tells
};

class AreaFlags {
 public:
  constexpr AreaFlags() = default;
  constexpr AreaFlags(AreaFlag flag) : bits_(static_cast<std::uint8_t>(flag)) {}

  constexpr bool has(AreaFlag flag) const { return (bits_ & static_cast<std::uint8_t>(flag)) != 0; }
  constexpr AreaFlags with(AreaFlags other) const { return AreaFlags(bits_ | other.bits_); }
  constexpr AreaFlags without(AreaFlags other) const { return AreaFlags(bits_ & ~other.bits_); }
  friend constexpr bool operator==(AreaFlags, AreaFlags) = default;

 private:
  explicit constexpr AreaFlags(int bits) : bits_(static_cast<std::uint8_t>(bits)) {}
  std::uint8_t bits_ = 0;
};

class VmArea : public ListNode<FileMappingTag> {
 public:
  /// `first_index`: the loader's page index at the start of the range. `mapping`: identifies the mmap call
  /// the area came from; split pieces keep it.
  VmArea(Space& space, VaRange range, Permission permission, Sharing sharing, AnyLoader loader,
         std::uint64_t first_index, std::uint64_t mapping)
      : space_(&space),
        range_(range),
        permission_(permission),
        sharing_(sharing),
        loader_(std::move(loader)),
        first_index_(first_index),
        mapping_(mapping) {}
  ~VmArea() { ASSERT(!linked()); }

  Space& space() const { return *space_; }
  VaRange range() const { return range_; }
  Va start() const { return range_.start(); }
  Va end() const { return range_.end(); }
  Permission permission() const { return permission_; }
  Sharing sharing() const { return sharing_; }
  bool is_shared() const { return sharing_ == Sharing::Shared; }
  const AnyLoader& loader() const { return loader_; }
  RegularFile* file() const { return file_of(loader_); }
  bool is_anonymous() const { return std::holds_alternative<AnonLoader>(loader_); }
  std::uint64_t mapping() const { return mapping_; }

  /// The loader's page index for an address inside the area.
  std::uint64_t page_index(Va va) const {
    return first_index_ + ((va.value() - range_.start().value()) >> kPageShift);
  }

  void set_permission(Permission permission) { permission_ = permission; }

  /// False for a shared mapping of a file that was opened for reading only: protect() may never make it
  /// writable.
  bool may_write() const { return may_write_; }
  void forbid_write() { may_write_ = false; }

  AreaFlags flags() const { return flags_; }
  void set_flags(AreaFlags flags) { flags_ = flags; }

  /// A copy, not registered and in no index, for `range` of `space`; the page index at its start is this
  /// area's until set_first_index says otherwise. Error: OutOfMemory.
  [[nodiscard]] Result<Box<VmArea>> copy_for(Space& space, VaRange range) const;
  void set_first_index(std::uint64_t index) { first_index_ = index; }

  /// Makes the area known to its file, if it has one, so that truncation finds it; and takes it out again.
  void register_with_file();
  void unregister_from_file();

  /// The lock of the file's list of areas, under which a registered area's boundaries change; null without a
  /// file.
  SpinLock* mappings_lock() const;

  /// True when `next` follows this area directly and only their common boundary tells them apart.
  bool continues_with(const VmArea& next) const;

 private:
  friend class AreaIndex;
  Space* space_;
  // What a search reads of each node it passes, side by side.
  VaRange range_;
  VmArea* left_ = nullptr;
  VmArea* right_ = nullptr;

  Permission permission_;
  Sharing sharing_;
  bool may_write_ = true;
  AreaFlags flags_;
  AnyLoader loader_;
  std::uint64_t first_index_;
  std::uint64_t mapping_;

  // The rest of the tree; AreaIndex's, as left_ and right_ are.
  VmArea* parent_ = nullptr;
  int height_ = 1;
  std::uint64_t gap_ = 0;         // free bytes between the area below (or address 0) and this one
  std::uint64_t widest_gap_ = 0;  // greatest gap_ in the subtree
};

/// Holds the lock of an area's file, if it has one: truncation reads the area's boundaries under it.
class [[nodiscard]] MappingsGuard {
 public:
  explicit MappingsGuard(const VmArea& area) : lock_(area.mappings_lock()) {
    if (lock_ != nullptr) lock_->lock();
  }
  MappingsGuard(const MappingsGuard&) = delete;
  MappingsGuard& operator=(const MappingsGuard&) = delete;
  ~MappingsGuard() {
    if (lock_ != nullptr) lock_->unlock();
  }

 private:
  SpinLock* lock_;
};

/// Areas in ascending order, as far as they begin below an end. The area at hand may be changed, cut, and
/// joined with the next one in the loop, but must stay.
class AreaSequence {
 public:
  class Iterator {
   public:
    VmArea& operator*() const { return *area_; }
    Iterator& operator++();
    bool operator==(std::default_sentinel_t) const { return area_ == nullptr || area_->start() >= end_; }

   private:
    friend AreaSequence;
    Iterator(VmArea* area, Va end) : area_(area), end_(end) {}
    VmArea* area_;
    Va end_;
  };
  AreaSequence(VmArea* first, Va end) : first_(first), end_(end) {}
  Iterator begin() const { return Iterator(first_, end_); }
  std::default_sentinel_t end() const { return {}; }

 private:
  VmArea* first_;
  Va end_;
};

class AreaIndex {
 public:
  AreaIndex() = default;
  AreaIndex(AreaIndex&& other) noexcept
      : root_(std::exchange(other.root_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  AreaIndex& operator=(AreaIndex&& other) noexcept {
    ASSERT(root_ == nullptr);
    root_ = std::exchange(other.root_, nullptr);
    count_ = std::exchange(other.count_, 0);
    return *this;
  }
  ~AreaIndex() { ASSERT(root_ == nullptr); }

  bool empty() const { return root_ == nullptr; }
  std::size_t count() const { return count_; }

  /// The area that contains `va`, or null. O(log n).
  VmArea* find(Va va) const {
    VmArea* node = root_;
    while (node != nullptr) {
      if (va < node->range_.start()) {
        node = node->left_;
      } else if (va < node->range_.end()) {
        return node;
      } else {
        node = node->right_;
      }
    }
    return nullptr;
  }
  /// The lowest area that ends above `va`, or null.
  VmArea* first_ending_after(Va va) const;
  /// The areas that overlap a range. O(log n), and the next one in constant time on average.
  AreaSequence overlapping(VaRange range) const { return {first_ending_after(range.start()), range.end()}; }
  /// All areas.
  AreaSequence all() const { return {first(), Va::checked(kUserEnd)}; }
  /// The lowest area that overlaps the range, or null.
  VmArea* first_overlapping(VaRange range) const {
    VmArea* area = first_ending_after(range.start());
    return area != nullptr && area->start() < range.end() ? area : nullptr;
  }
  /// The range of the whole mapping that starts at `va`: all pieces that one mmap made and that still follow
  /// one another without a hole. Nothing when none starts there.
  std::optional<VaRange> mapping_at(Va va) const;
  VmArea* first() const;
  VmArea* last() const;
  static VmArea* next(const VmArea& area);
  static VmArea* previous(const VmArea& area);

  /// Adds an area that overlaps no other; the index owns it from now on.
  void insert(Box<VmArea> area);
  /// Takes an area out.
  Box<VmArea> remove(VmArea& area);
  /// Moves an area's boundaries, into free space or inward; its order among the others stays. The page index
  /// follows the start.
  void set_range(VmArea& area, VaRange range);
  /// Cuts `area` at a page boundary inside it: it keeps the lower part, `upper`, a copy of it, becomes the
  /// upper part.
  void split(VmArea& area, Va at, Box<VmArea> upper);
  /// Undoes a split: `area` takes over the range of the area above, which continues it and goes.
  void join_with_next(VmArea& area);

  /// The highest free range of `size` bytes (whole pages, > 0) that lies in `bounds`. O(log n).
  std::optional<VaRange> highest_free(std::uint64_t size, VaRange bounds) const;
  /// The free space around an address where no area is: from the area below to the area above.
  VaRange gap_around(VaRange free_range) const;

  /// Panics when order, balance or gaps are wrong. For tests; O(n).
  void check() const;

 private:
  VmArea* root_ = nullptr;
  std::size_t count_ = 0;

  static void update(VmArea& node);
  void update_upward(VmArea* node);
  void rebalance_upward(VmArea* node);
  VmArea* rotate(VmArea& node, bool to_left);
  void replace_child(VmArea* parent, VmArea& old_child, VmArea* new_child);
  void set_gap_of(VmArea* area);
};

inline AreaSequence::Iterator& AreaSequence::Iterator::operator++() {
  area_ = AreaIndex::next(*area_);
  return *this;
}

}  // namespace faultline
