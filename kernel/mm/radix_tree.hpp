#pragma once
// A sparse array of 64-bit words, indexed by page number; 64 words per node, as many levels as the greatest
// index needs.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "kernel/lib/result.hpp"

namespace faultline {

/// Word 0 means absent. Not locked.
class RadixTree {
 public:
  RadixTree() = default;
  RadixTree(const RadixTree&) = delete;
  RadixTree& operator=(const RadixTree&) = delete;
  ~RadixTree();

  /// The word at `index`, or null when none is stored there (or its node does not exist).
  std::uint64_t* find(std::uint64_t index) const noexcept;

  /// The words from `index` to the end of its node, 0 where absent; empty when there is no node.
  std::span<const std::uint64_t> words_from(std::uint64_t index) const noexcept;

  /// Stores a word that is not 0 where none is. Error: OutOfMemory.
  [[nodiscard]] Result<std::uint64_t*> insert(std::uint64_t index, std::uint64_t word) noexcept;

  /// Takes the word at `index` out, 0 if there is none, and frees nodes that become empty.
  std::uint64_t remove(std::uint64_t index) noexcept;

  struct Item {
    std::uint64_t index;
    std::uint64_t* word;
  };
  /// The first stored word at or after `index`.
  std::optional<Item> first_from(std::uint64_t index) const noexcept;

  std::size_t count() const noexcept { return count_; }

 private:
  static constexpr unsigned kBits = 6;
  static constexpr std::size_t kFanout = std::size_t{1} << kBits;
  static constexpr unsigned kMaxHeight = (64 + kBits - 1) / kBits;

  struct Node {
    std::array<std::uint64_t, kFanout> words{};  // child addresses, or at the lowest level the stored words
    std::uint32_t used = 0;
  };

  bool covers(std::uint64_t index) const noexcept {
    return height_ * kBits >= 64 || (index >> (height_ * kBits)) == 0;
  }
  Result<> grow_to(std::uint64_t index) noexcept;
  void shrink() noexcept;
  Node* leaf_for(std::uint64_t index) const noexcept;
  static Node* child(std::uint64_t word) noexcept { return reinterpret_cast<Node*>(word); }

  Node* root_ = nullptr;
  unsigned height_ = 0;  // levels of nodes
  std::size_t count_ = 0;
};

}  // namespace faultline
