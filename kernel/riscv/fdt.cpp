#include "kernel/riscv/fdt.hpp"

#include <cstring>

namespace faultline::fdt {

namespace {

constexpr std::uint32_t kMagic = 0xd00dfeed;
constexpr std::uint32_t kOldestVersion = 16, kVersion = 17;

/// Big-endian 32-bit number. The caller has checked the bounds.
std::uint32_t big_endian(Bytes bytes, std::size_t offset) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | std::to_integer<std::uint32_t>(bytes[offset + i]);
  return value;
}

/// The zero-terminated string at `offset`, without the zero; nothing when no zero follows.
std::optional<std::string_view> string_at(Bytes bytes, std::size_t offset) {
  if (offset >= bytes.size()) return std::nullopt;
  const char* const start = reinterpret_cast<const char*>(bytes.data()) + offset;
  const std::string_view rest(start, bytes.size() - offset);
  const std::size_t length = rest.find('\0');
  if (length == std::string_view::npos) return std::nullopt;
  return rest.substr(0, length);
}

/// The part [offset, offset + size) of `blob`; nothing when it sticks out.
std::optional<Bytes> part(Bytes blob, std::uint32_t offset, std::size_t size) {
  if (offset > blob.size() || size > blob.size() - offset) return std::nullopt;
  return blob.subspan(offset, size);
}

constexpr std::size_t round_to_cell(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

}  // namespace

std::expected<Header, Error> read_header(std::span<const std::byte, 40> bytes) {
  if (big_endian(bytes, 0) != kMagic) return std::unexpected("no device tree where the firmware says it is");
  if (big_endian(bytes, 20) < kOldestVersion || big_endian(bytes, 24) > kVersion) {
    return std::unexpected("device tree of an unknown version");
  }
  const std::uint32_t size = big_endian(bytes, 4);
  if (size < bytes.size()) return std::unexpected("device tree shorter than its header");
  return Header{size};
}

std::optional<std::uint64_t> Property::number() const {
  if (value_.size() == 4) return cells(0, 1);
  if (value_.size() == 8) return cells(0, 2);
  return std::nullopt;
}

std::optional<std::uint32_t> Property::cell(std::size_t index) const {
  if (index >= value_.size() / 4) return std::nullopt;
  return big_endian(value_, index * 4);
}

std::optional<std::uint64_t> Property::cells(std::size_t index, unsigned cells) const {
  if (cells > 2) return std::nullopt;
  std::uint64_t value = 0;
  for (unsigned i = 0; i < cells; ++i) {
    const auto next = cell(index + i);
    if (!next) return std::nullopt;
    value = value << 32 | *next;
  }
  return value;
}

std::string_view Property::text() const { return string_at(value_, 0).value_or(std::string_view()); }

bool Property::lists(std::string_view wanted) const {
  for (std::size_t offset = 0; offset < value_.size();) {
    const auto entry = string_at(value_, offset);
    if (!entry) return false;
    if (*entry == wanted) return true;
    offset += entry->size() + 1;
  }
  return false;
}

std::optional<Property> Node::property(std::string_view name) const {
  std::size_t offset = properties_;
  for (;;) {
    const Tree::Token token = tree_->token_at(offset);
    if (token.kind != Tree::Token::Kind::Property) return std::nullopt;
    if (token.name == name) return Property(token.value);
    offset = token.next;
  }
}

bool Node::compatible(std::string_view wanted) const {
  const auto list = property("compatible");
  return list && list->lists(wanted);
}

bool Node::enabled() const {
  const auto status = property("status");
  return !status || status->text() == "okay" || status->text() == "ok";
}

bool Node::identity_mapped() const {
  for (const Node* bus = this; bus->parent_ != nullptr; bus = bus->parent_) {
    const auto ranges = bus->property("ranges");
    if (!ranges || ranges->size() != 0) return false;
  }
  return true;
}

std::optional<Node::Region> Node::region(std::size_t index) const {
  const auto reg = property("reg");
  if (!reg || parent_ == nullptr || !parent_->identity_mapped() || index > reg->size()) return std::nullopt;
  const std::size_t first = index * (parent_->address_cells_ + parent_->size_cells_);
  const auto base = reg->cells(first, parent_->address_cells_);
  const auto size = reg->cells(first + parent_->address_cells_, parent_->size_cells_);
  if (!base || !size || *size > UINT64_MAX - *base) return std::nullopt;
  return Region{*base, *size};
}

std::expected<Tree, Error> Tree::from(Bytes blob) {
  if (blob.size() < 40) return std::unexpected("device tree shorter than its header");
  const auto header = read_header(blob.first<40>());
  if (!header) return std::unexpected(header.error());
  if (header->total_size > blob.size()) return std::unexpected("device tree longer than its memory");
  blob = blob.first(header->total_size);

  const std::uint32_t structure_offset = big_endian(blob, 8);
  // Version 16 does not tell the structure's size: it then reaches at most to the end.
  const std::size_t structure_size = big_endian(blob, 20) >= 17       ? big_endian(blob, 36)
                                     : structure_offset < blob.size() ? blob.size() - structure_offset
                                                                      : 0;
  const std::uint32_t reservation_offset = big_endian(blob, 16);
  const auto structure = part(blob, structure_offset, structure_size);
  const auto strings = part(blob, big_endian(blob, 12), big_endian(blob, 32));
  const auto reservations =
      part(blob, reservation_offset, reservation_offset < blob.size() ? blob.size() - reservation_offset : 0);
  if (!structure || structure_offset % 4 != 0 || !strings || !reservations) {
    return std::unexpected("device tree whose parts stick out of it");
  }
  Tree tree;
  tree.structure_ = *structure;
  tree.strings_ = *strings;
  tree.reservations_ = *reservations;
  if (const auto error = tree.walk_checked([](const Node&) {})) return std::unexpected(*error);
  return tree;
}

Tree::Token Tree::token_at(std::size_t offset) const {
  constexpr std::uint32_t kBeginNode = 1, kEndNode = 2, kProperty = 3, kNop = 4, kEnd = 9;
  const Token malformed{Token::Kind::Malformed, {}, {}, offset};
  for (;;) {
    if (offset > structure_.size() || structure_.size() - offset < 4) return malformed;
    const std::uint32_t kind = big_endian(structure_, offset);
    offset += 4;
    if (kind == kNop) continue;
    if (kind == kEndNode) return {Token::Kind::EndNode, {}, {}, offset};
    if (kind == kEnd) return {Token::Kind::End, {}, {}, offset};
    if (kind == kBeginNode) {
      const auto name = string_at(structure_, offset);
      if (!name) return malformed;
      return {Token::Kind::BeginNode, *name, {}, offset + round_to_cell(name->size() + 1)};
    }
    if (kind != kProperty || structure_.size() - offset < 8) return malformed;
    const std::uint32_t size = big_endian(structure_, offset);
    const auto name = string_at(strings_, big_endian(structure_, offset + 4));
    offset += 8;
    if (!name || size > structure_.size() - offset) return malformed;
    return {Token::Kind::Property, *name, structure_.subspan(offset, size), offset + round_to_cell(size)};
  }
}

std::optional<Error> Tree::walk_checked(FunctionRef<void(const Node&)> visit) const {
  std::array<Node, kMaxDepth> path;
  std::size_t depth = 0;
  std::size_t offset = 0;
  for (;;) {
    const Token token = token_at(offset);
    offset = token.next;
    switch (token.kind) {
      case Token::Kind::Malformed:
        return "device tree with a malformed structure";
      case Token::Kind::Property:
        if (depth == 0) return "device tree with a property outside of every node";
        break;
      case Token::Kind::End:
        if (depth != 0) return "device tree that ends within a node";
        return std::nullopt;
      case Token::Kind::EndNode:
        if (depth == 0) return "device tree that ends a node it has not begun";
        --depth;
        break;
      case Token::Kind::BeginNode: {
        if (depth == kMaxDepth) return "device tree nested too deeply";
        Node& node = path[depth];
        node = Node();
        node.tree_ = this;
        node.parent_ = depth == 0 ? nullptr : &path[depth - 1];
        node.name_ = token.name;
        node.properties_ = token.next;
        if (const auto cells = node.property("#address-cells"))
          node.address_cells_ = cells->cell(0).value_or(2);
        if (const auto cells = node.property("#size-cells")) node.size_cells_ = cells->cell(0).value_or(1);
        ++depth;
        visit(node);
        break;
      }
    }
  }
}

void Tree::walk(FunctionRef<void(const Node&)> visit) const { (void)walk_checked(visit); }

void Tree::for_each_reservation(FunctionRef<void(Node::Region)> visit) const {
  const Property cells(reservations_);
  for (std::size_t i = 0;; i += 4) {
    const auto base = cells.cells(i, 2);
    const auto size = cells.cells(i + 2, 2);
    if (!base || !size || (*base == 0 && *size == 0)) return;
    if (*size <= UINT64_MAX - *base) visit({*base, *size});
  }
}

}  // namespace faultline::fdt
