#pragma once
// The ChaCha20 block function (RFC 8439, section 2.3).

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace faultline {

using ChaChaKey = std::array<std::uint32_t, 8>;
using ChaChaBlock = std::array<std::uint32_t, 16>;

namespace detail {
constexpr void quarter_round(ChaChaBlock& s, std::size_t a, std::size_t b, std::size_t c, std::size_t d) {
  s[a] += s[b];
  s[d] = std::rotl(s[d] ^ s[a], 16);
  s[c] += s[d];
  s[b] = std::rotl(s[b] ^ s[c], 12);
  s[a] += s[b];
  s[d] = std::rotl(s[d] ^ s[a], 8);
  s[c] += s[d];
  s[b] = std::rotl(s[b] ^ s[c], 7);
}
}  // namespace detail

/// The 64 bytes of key stream with this counter and nonce, as little-endian words.
constexpr ChaChaBlock chacha20_block(const ChaChaKey& key, std::uint32_t counter,
                                     const std::array<std::uint32_t, 3>& nonce) {
  ChaChaBlock start = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  for (std::size_t i = 0; i < key.size(); ++i) start[4 + i] = key[i];
  start[12] = counter;
  for (std::size_t i = 0; i < nonce.size(); ++i) start[13 + i] = nonce[i];
  ChaChaBlock state = start;
  for (int round = 0; round < 10; ++round) {
    detail::quarter_round(state, 0, 4, 8, 12);
    detail::quarter_round(state, 1, 5, 9, 13);
    detail::quarter_round(state, 2, 6, 10, 14);
    detail::quarter_round(state, 3, 7, 11, 15);
    detail::quarter_round(state, 0, 5, 10, 15);
    detail::quarter_round(state, 1, 6, 11, 12);
    detail::quarter_round(state, 2, 7, 8, 13);
    detail::quarter_round(state, 3, 4, 9, 14);
  }
  for (std::size_t i = 0; i < state.size(); ++i) state[i] += start[i];
  return state;
}

// The test vector of RFC 8439, section 2.3.2.
static_assert(chacha20_block({0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c, 0x13121110, 0x17161514,
                              0x1b1a1918, 0x1f1e1d1c},
                             1, {0x09000000, 0x4a000000, 0x00000000}) ==
              ChaChaBlock{0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033, 0x9aaa2204,
                          0x4e6cd4c3, 0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9, 0xd19c12b5, 0xb94e16de,
                          0xe883d0cb, 0x4e3c50a2});

}  // namespace faultline
