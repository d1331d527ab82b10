#include "kernel/mm/radix_tree.hpp"

#include "kernel/lib/heap.hpp"
#include "kernel/lib/panic.hpp"

namespace faultline {

namespace {
constexpr std::size_t slot_of(std::uint64_t index, unsigned shift) { return (index >> shift) & 63; }
}  // namespace

RadixTree::~RadixTree() {
  // Whoever stored words knows what they stand for and takes them out first.
  ASSERT(count_ == 0 && root_ == nullptr);
}

RadixTree::Node* RadixTree::leaf_for(std::uint64_t index) const noexcept {
  if (!covers(index)) return nullptr;
  Node* node = root_;
  for (unsigned level = height_; node != nullptr && level > 1;) {
    --level;
    node = child(node->words[slot_of(index, level * kBits)]);
  }
  return node;
}

std::uint64_t* RadixTree::find(std::uint64_t index) const noexcept {
  Node* leaf = leaf_for(index);
  if (leaf == nullptr) return nullptr;
  std::uint64_t* word = &leaf->words[slot_of(index, 0)];
  return *word != 0 ? word : nullptr;
}

std::span<const std::uint64_t> RadixTree::words_from(std::uint64_t index) const noexcept {
  const Node* leaf = leaf_for(index);
  if (leaf == nullptr) return {};
  return std::span<const std::uint64_t>(leaf->words).subspan(slot_of(index, 0));
}

Result<> RadixTree::grow_to(std::uint64_t index) noexcept {
  while (height_ == 0 || !covers(index)) {
    Box<Node> top = TRY(make_box<Node>());
    if (root_ != nullptr) {
      top->words[0] = reinterpret_cast<std::uint64_t>(root_);
      top->used = 1;
    }
    root_ = top.release();
    ++height_;
  }
  return {};
}

Result<std::uint64_t*> RadixTree::insert(std::uint64_t index, std::uint64_t word) noexcept {
  ASSERT(word != 0);
  // An error leaves nodes without words behind, which remove() takes away.
  const auto make_path = [&]() -> Result<std::uint64_t*> {
    TRY(grow_to(index));
    Node* node = root_;
    for (unsigned level = height_ - 1; level > 0; --level) {
      std::uint64_t& link = node->words[slot_of(index, level * kBits)];
      if (link == 0) {
        Box<Node> made = TRY(make_box<Node>());
        link = reinterpret_cast<std::uint64_t>(made.release());
        ++node->used;
      }
      node = child(link);
    }
    std::uint64_t& place = node->words[slot_of(index, 0)];
    ASSERT(place == 0);
    place = word;
    ++node->used;
    ++count_;
    return &place;
  };
  Result<std::uint64_t*> made = make_path();
  if (!made) remove(index);
  return made;
}

std::uint64_t RadixTree::remove(std::uint64_t index) noexcept {
  std::uint64_t word = 0;
  if (root_ != nullptr && covers(index)) {
    std::array<Node*, kMaxHeight> path{};
    unsigned level = height_ - 1;
    path[level] = root_;
    // Down as far as the path exists.
    while (level > 0) {
      Node* const below = child(path[level]->words[slot_of(index, level * kBits)]);
      if (below == nullptr) break;
      path[--level] = below;
    }
    if (level == 0) {
      word = std::exchange(path[0]->words[slot_of(index, 0)], 0);
      if (word != 0) {
        --path[0]->used;
        --count_;
      }
    }
    // Up again, freeing what has become empty; the root is shrink()'s.
    for (; level + 1 < height_ && path[level]->used == 0; ++level) {
      HeapDelete()(path[level]);
      path[level + 1]->words[slot_of(index, (level + 1) * kBits)] = 0;
      --path[level + 1]->used;
    }
  }
  shrink();
  return word;
}

void RadixTree::shrink() noexcept {
  // A root with nothing but its first child is one level too many; an empty one is too much.
  while (root_ != nullptr &&
         (root_->used == 0 || (height_ > 1 && root_->used == 1 && root_->words[0] != 0))) {
    Node* const top = root_;
    root_ = top->used == 0 ? nullptr : child(top->words[0]);
    height_ = root_ == nullptr ? 0 : height_ - 1;
    HeapDelete()(top);
  }
}

std::optional<RadixTree::Item> RadixTree::first_from(std::uint64_t index) const noexcept {
  if (root_ == nullptr) return std::nullopt;
  while (covers(index)) {
    // Down along `index`, as far as nodes exist.
    Node* node = root_;
    unsigned level = height_ - 1;
    for (;; --level) {
      const unsigned shift = level * kBits;
      std::size_t slot = slot_of(index, shift);
      if (node->words[slot] == 0) {
        while (slot < kFanout && node->words[slot] == 0) ++slot;
        if (slot == kFanout) {
          // Nothing more in this node: on to the first index behind it.
          const unsigned above = shift + kBits;
          if (above >= 64) return std::nullopt;
          const std::uint64_t next = ((index >> above) + 1) << above;
          if (next == 0) return std::nullopt;
          index = next;
          break;
        }
        index = (((index >> shift >> kBits << kBits) | slot) << shift);
      }
      if (level == 0) return Item{index, &node->words[slot]};
      node = child(node->words[slot]);
    }
  }
  return std::nullopt;
}

}  // namespace faultline
