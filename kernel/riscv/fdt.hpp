#pragma once
// A flattened device tree (Devicetree Specification 0.4, chapter 5), read in place.
//
// The blob comes from outside: no length, offset or nesting in it is believed before it is checked. A
// malformed blob gives an error, never an access beyond its bytes. Portable: the host tests read hostile
// blobs with it.

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

#include "kernel/lib/function_ref.hpp"

namespace faultline::fdt {

using Bytes = std::span<const std::byte>;

/// Why a blob is refused, for a person.
using Error = std::string_view;

struct Header {
  std::uint32_t total_size;
};
/// Checks the first 40 bytes and tells how many bytes the blob has in all.
std::expected<Header, Error> read_header(std::span<const std::byte, 40> bytes);

/// A property's value.
class Property {
 public:
  explicit Property(Bytes value) : value_(value) {}
  Bytes bytes() const { return value_; }
  std::size_t size() const { return value_.size(); }
  /// Big-endian number of one or two cells; nothing for other sizes.
  std::optional<std::uint64_t> number() const;
  /// The `index`-th 32-bit cell, or nothing beyond the end.
  std::optional<std::uint32_t> cell(std::size_t index) const;
  /// A number of `cells` (0 … 2) cells that starts at cell `index`.
  std::optional<std::uint64_t> cells(std::size_t index, unsigned cells) const;
  /// The text before the first zero byte.
  std::string_view text() const;
  /// True when `wanted` is one of the strings of a list.
  bool lists(std::string_view wanted) const;

 private:
  Bytes value_;
};

class Tree;

/// A node during a walk.
class Node {
 public:
  /// With its unit address, as in "memory@80000000".
  std::string_view name() const { return name_; }
  /// The name up to '@'.
  std::string_view base_name() const { return name_.substr(0, name_.find('@')); }
  /// Null for the root.
  const Node* parent() const { return parent_; }
  std::optional<Property> property(std::string_view name) const;
  bool compatible(std::string_view wanted) const;
  /// False when the tree says that the device is not to be used.
  bool enabled() const;
  /// True when addresses below this node are the CPU's own (the root; buses with an empty `ranges`).
  bool identity_mapped() const;

  struct Region {
    std::uint64_t base;
    std::uint64_t size;
  };
  /// The `index`-th region of `reg`. Nothing when there is none, when it wraps, or when it is not in CPU
  /// addresses.
  std::optional<Region> region(std::size_t index) const;

 private:
  friend class Tree;
  const Tree* tree_ = nullptr;
  const Node* parent_ = nullptr;
  std::string_view name_;
  std::size_t properties_ = 0;  // offset of the first token after the name, in the structure block
  unsigned address_cells_ = 2;  // of the children
  unsigned size_cells_ = 1;
};

class Tree {
 public:
  /// Checks the whole structure: after this a walk cannot fail. `blob` must outlive the tree.
  static std::expected<Tree, Error> from(Bytes blob);

  /// Calls `visit` for each node, parents first.
  void walk(FunctionRef<void(const Node&)> visit) const;

  /// The memory reservation block.
  void for_each_reservation(FunctionRef<void(Node::Region)> visit) const;

 private:
  friend class Node;
  static constexpr std::size_t kMaxDepth = 16;

  struct Token {
    enum class Kind : std::uint8_t { BeginNode, EndNode, Property, End, Malformed };
    Kind kind;
    std::string_view name;
    Bytes value;
    std::size_t next;  // offset of the token after it
  };
  Token token_at(std::size_t offset) const;
  std::optional<Error> walk_checked(FunctionRef<void(const Node&)> visit) const;

  Bytes structure_;
  Bytes strings_;
  Bytes reservations_;
};

}  // namespace faultline::fdt
