#pragma once
// Bit maps as they stand on the disk: bit i is bit i % 8 of byte i / 8.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace faultline {

inline bool test_bit(std::span<const std::byte> map, std::size_t index) {
  return (std::to_integer<unsigned>(map[index / 8]) >> (index % 8) & 1) != 0;
}
inline void set_bit(std::span<std::byte> map, std::size_t index) {
  map[index / 8] |= std::byte{1} << (index % 8);
}
inline void clear_bit(std::span<std::byte> map, std::size_t index) {
  map[index / 8] &= ~(std::byte{1} << (index % 8));
}

/// The first clear bit in [from, limit), if there is one. The map's size is a multiple of eight bytes.
inline std::optional<std::size_t> find_clear_bit(std::span<const std::byte> map, std::size_t from,
                                                 std::size_t limit) {
  for (std::size_t index = from; index < limit;) {
    std::uint64_t word;
    std::memcpy(&word, map.data() + index / 64 * 8, sizeof(word));
    word |= (std::uint64_t{1} << (index % 64)) - 1;  // bits below `index` do not count
    if (~word != 0) {
      const std::size_t found = index / 64 * 64 + static_cast<std::size_t>(std::countr_one(word));
      return found < limit ? std::optional(found) : std::nullopt;
    }
    index = (index / 64 + 1) * 64;
  }
  return std::nullopt;
}

}  // namespace faultline
