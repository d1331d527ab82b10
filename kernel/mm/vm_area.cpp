#include "kernel/mm/vm_area.hpp"

#include <algorithm>

namespace faultline {

namespace {
std::uint64_t start_of(const VmArea& area) { return area.start().value(); }
std::uint64_t end_of(const VmArea& area) { return area.end().value(); }
}  // namespace

void VmArea::register_with_file() {
  RegularFile* mapped = file();
  if (mapped == nullptr) return;
  const SpinGuard guard(mapped->mappings_lock_);
  // At the back: fork registers the child's areas after the parent's and copies entries only then, so that a
  // truncation that walks from the front removes an entry either before it is copied or from both.
  mapped->mappings_.push_back(*this);
}

void VmArea::unregister_from_file() {
  RegularFile* mapped = file();
  if (mapped == nullptr) return;
  const SpinGuard guard(mapped->mappings_lock_);
  unlink();
}

Result<Box<VmArea>> VmArea::copy_for(Space& space, VaRange range) const {
  Box<VmArea> copy =
      TRY(make_box<VmArea>(space, range, permission_, sharing_, loader_, first_index_, mapping_));
  copy->may_write_ = may_write_;
  copy->flags_ = flags_;
  return copy;
}

SpinLock* VmArea::mappings_lock() const {
  RegularFile* mapped = file();
  return mapped != nullptr ? &mapped->mappings_lock_ : nullptr;
}

bool VmArea::continues_with(const VmArea& next) const {
  if (end() != next.start() || mapping_ != next.mapping_ || permission_ != next.permission_ ||
      may_write_ != next.may_write_ || flags_ != next.flags_) {
    return false;
  }
  return is_anonymous() || page_index(end()) == next.first_index_;
}

// --- The tree. Balance: the heights of a node's subtrees differ by at most one. ---

namespace {
template <class Node>
int height_of(const Node* node, int Node::* height) {
  return node != nullptr ? node->*height : 0;
}
}  // namespace

void AreaIndex::update(VmArea& node) {
  const int left = height_of(node.left_, &VmArea::height_);
  const int right = height_of(node.right_, &VmArea::height_);
  node.height_ = 1 + std::max(left, right);
  node.widest_gap_ = node.gap_;
  if (node.left_ != nullptr) node.widest_gap_ = std::max(node.widest_gap_, node.left_->widest_gap_);
  if (node.right_ != nullptr) node.widest_gap_ = std::max(node.widest_gap_, node.right_->widest_gap_);
}

void AreaIndex::update_upward(VmArea* node) {
  for (; node != nullptr; node = node->parent_) {
    const std::uint64_t gap = node->widest_gap_;
    const int height = node->height_;
    update(*node);
    // What did not change here changes nothing above.
    if (node->widest_gap_ == gap && node->height_ == height) return;
  }
}

void AreaIndex::replace_child(VmArea* parent, VmArea& old_child, VmArea* new_child) {
  if (parent == nullptr) {
    root_ = new_child;
  } else if (parent->left_ == &old_child) {
    parent->left_ = new_child;
  } else {
    parent->right_ = new_child;
  }
  if (new_child != nullptr) new_child->parent_ = parent;
}

VmArea* AreaIndex::rotate(VmArea& node, bool to_left) {
  VmArea* VmArea::* const inner = to_left ? &VmArea::left_ : &VmArea::right_;
  VmArea* VmArea::* const outer = to_left ? &VmArea::right_ : &VmArea::left_;
  // There is one: it is what made the node's outer side the higher one.
  VmArea& top = *(node.*outer);  // NOLINT(clang-analyzer-core.NullDereference)
  node.*outer = top.*inner;
  if (node.*outer != nullptr) (node.*outer)->parent_ = &node;
  replace_child(node.parent_, node, &top);
  top.*inner = &node;
  node.parent_ = &top;
  update(node);
  update(top);
  return &top;
}

void AreaIndex::rebalance_upward(VmArea* node) {
  while (node != nullptr) {
    update(*node);
    const int tilt = height_of(node->right_, &VmArea::height_) - height_of(node->left_, &VmArea::height_);
    if (tilt > 1) {
      VmArea& right = *node->right_;
      if (height_of(right.left_, &VmArea::height_) > height_of(right.right_, &VmArea::height_))
        rotate(right, false);
      node = rotate(*node, true);
    } else if (tilt < -1) {
      VmArea& left = *node->left_;
      if (height_of(left.right_, &VmArea::height_) > height_of(left.left_, &VmArea::height_))
        rotate(left, true);
      node = rotate(*node, false);
    }
    node = node->parent_;
  }
}

std::optional<VaRange> AreaIndex::mapping_at(Va va) const {
  const VmArea* const first = find(va);
  if (first == nullptr || first->start() != va) return std::nullopt;
  Va end = first->end();
  for (const VmArea* piece = next(*first); piece != nullptr && piece->start() == end; piece = next(*piece)) {
    if (piece->mapping() != first->mapping()) break;
    end = piece->end();
  }
  return VaRange(va, end);
}

VmArea* AreaIndex::first() const {
  VmArea* node = root_;
  while (node != nullptr && node->left_ != nullptr) node = node->left_;
  return node;
}

VmArea* AreaIndex::last() const {
  VmArea* node = root_;
  while (node != nullptr && node->right_ != nullptr) node = node->right_;
  return node;
}

VmArea* AreaIndex::next(const VmArea& area) {
  if (VmArea* node = area.right_) {
    while (node->left_ != nullptr) node = node->left_;
    return node;
  }
  const VmArea* node = &area;
  while (node->parent_ != nullptr && node->parent_->right_ == node) node = node->parent_;
  return node->parent_;
}

VmArea* AreaIndex::previous(const VmArea& area) {
  if (VmArea* node = area.left_) {
    while (node->right_ != nullptr) node = node->right_;
    return node;
  }
  const VmArea* node = &area;
  while (node->parent_ != nullptr && node->parent_->left_ == node) node = node->parent_;
  return node->parent_;
}

VmArea* AreaIndex::first_ending_after(Va va) const {
  VmArea* found = nullptr;
  for (VmArea* node = root_; node != nullptr;) {
    if (va < node->end()) {
      found = node;
      node = node->left_;
    } else {
      node = node->right_;
    }
  }
  return found;
}

void AreaIndex::set_gap_of(VmArea* area) {
  if (area == nullptr) return;
  const VmArea* below = previous(*area);
  area->gap_ = start_of(*area) - (below != nullptr ? end_of(*below) : 0);
  update_upward(area);
}

void AreaIndex::insert(Box<VmArea> owned) {
  VmArea& area = *owned.release();
  VmArea* parent = nullptr;
  VmArea** link = &root_;
  VmArea *below = nullptr, *above = nullptr;
  while (*link != nullptr) {
    parent = *link;
    ASSERT(!parent->range_.overlaps(area.range_));
    if (area.start() < parent->start()) {
      above = parent;
      link = &parent->left_;
    } else {
      below = parent;
      link = &parent->right_;
    }
  }
  area.parent_ = parent;
  area.left_ = area.right_ = nullptr;
  area.gap_ = start_of(area) - (below != nullptr ? end_of(*below) : 0);
  *link = &area;
  if (above != nullptr) above->gap_ = start_of(*above) - end_of(area);
  ++count_;
  // `above` is an ancestor of the new node, or its gap would not end there: one walk up corrects both.
  rebalance_upward(&area);
}

Box<VmArea> AreaIndex::remove(VmArea& area) {
  VmArea* above = next(area);
  VmArea* lowest_changed;
  if (area.left_ == nullptr || area.right_ == nullptr) {
    lowest_changed = area.parent_;
    replace_child(area.parent_, area, area.left_ != nullptr ? area.left_ : area.right_);
  } else {
    // The successor, leftmost in the right subtree, takes the node's place.
    VmArea& heir = *above;
    lowest_changed = heir.parent_ == &area ? &heir : heir.parent_;
    if (heir.parent_ != &area) {
      replace_child(heir.parent_, heir, heir.right_);
      heir.right_ = area.right_;
      heir.right_->parent_ = &heir;
    }
    heir.left_ = area.left_;
    heir.left_->parent_ = &heir;
    replace_child(area.parent_, area, &heir);
  }
  if (above != nullptr) above->gap_ += area.gap_ + area.range_.size();
  area.parent_ = area.left_ = area.right_ = nullptr;
  --count_;
  rebalance_upward(lowest_changed);
  // The area above may stand beside that walk's path.
  update_upward(above);
  return Box<VmArea>(&area);
}

void AreaIndex::set_range(VmArea& area, VaRange range) {
  {
    const MappingsGuard guard(area);
    area.first_index_ += static_cast<std::uint64_t>((range.start() - area.start()) >> kPageShift);
    area.range_ = range;
  }
  set_gap_of(&area);
  set_gap_of(next(area));
}

void AreaIndex::split(VmArea& area, Va at, Box<VmArea> upper) {
  ASSERT(area.start() < at && at < area.end() && at.page_aligned());
  {
    // One step for whoever walks the file's areas: no page is ever outside both.
    const MappingsGuard guard(area);
    upper->first_index_ = area.page_index(at);
    upper->range_ = VaRange(at, area.end());
    area.range_ = VaRange(area.start(), at);
    if (area.linked()) area.file()->mappings_.push_back(*upper);
  }
  insert(std::move(upper));
}

void AreaIndex::join_with_next(VmArea& area) {
  VmArea& upper = *next(area);
  ASSERT(area.continues_with(upper));
  const Box<VmArea> removed = remove(upper);
  {
    const MappingsGuard guard(area);
    area.range_ = VaRange(area.start(), upper.end());
    if (upper.linked()) upper.unlink();
  }
  set_gap_of(next(area));
}

std::optional<VaRange> AreaIndex::highest_free(std::uint64_t size, VaRange bounds) const {
  const auto fits = [&](std::uint64_t from, std::uint64_t to) -> std::optional<VaRange> {
    from = std::max(from, bounds.start().value());
    to = std::min(to, bounds.end().value());
    if (to < from || to - from < size) return std::nullopt;
    return VaRange(Va::checked(to - size), Va::checked(to));
  };
  const auto fits_below = [&](const VmArea& area) {
    return fits(start_of(area) - area.gap_, start_of(area));
  };

  // The highest area that starts below the upper bound, and the gap that the bound lies in or above.
  VmArea* below = nullptr;
  for (VmArea* node = root_; node != nullptr;) {
    if (node->start() < bounds.end()) {
      below = node;
      node = node->right_;
    } else {
      node = node->left_;
    }
  }
  if (below == nullptr) return fits(0, bounds.end().value());
  if (auto range = fits(end_of(*below), bounds.end().value())) return range;

  // From there downward. A subtree is entered only if it has a gap that is wide enough; the gap then found
  // can fail only because the lower bound cuts it, and nothing lower would fit either.
  for (VmArea* node = below; node != nullptr;) {
    if (node->gap_ >= size) return fits_below(*node);
    if (node->left_ != nullptr && node->left_->widest_gap_ >= size) {
      node = node->left_;
      for (;;) {
        if (node->right_ != nullptr && node->right_->widest_gap_ >= size) {
          node = node->right_;
        } else if (node->gap_ >= size) {
          return fits_below(*node);
        } else {
          node = node->left_;
        }
      }
    }
    // Up to the next lower area: the first ancestor that has this subtree on its right.
    while (node->parent_ != nullptr && node->parent_->left_ == node) node = node->parent_;
    node = node->parent_;
  }
  return std::nullopt;
}

VaRange AreaIndex::gap_around(VaRange free_range) const {
  const VmArea* above = first_ending_after(free_range.start());
  const VmArea* below = above != nullptr ? previous(*above) : last();
  return VaRange(below != nullptr ? below->end() : Va::checked(0),
                 above != nullptr ? above->start() : Va::checked(kUserEnd));
}

void AreaIndex::check() const {
  std::size_t seen = 0;
  const VmArea* below = nullptr;
  for (const VmArea* area = first(); area != nullptr; below = area, area = next(*area)) {
    ++seen;
    const std::uint64_t free_from = below != nullptr ? end_of(*below) : 0;
    ASSERT(!area->range_.empty() && start_of(*area) >= free_from &&
           area->gap_ == start_of(*area) - free_from);
    const int left = height_of(area->left_, &VmArea::height_),
              right = height_of(area->right_, &VmArea::height_);
    ASSERT(left - right <= 1 && right - left <= 1 && area->height_ == 1 + std::max(left, right));
    std::uint64_t widest = area->gap_;
    for (const VmArea* child : {area->left_, area->right_}) {
      if (child == nullptr) continue;
      ASSERT(child->parent_ == area);
      widest = std::max(widest, child->widest_gap_);
    }
    ASSERT(area->widest_gap_ == widest);
  }
  ASSERT(seen == count_);
}

}  // namespace faultline
