#pragma once
// Random bytes for /dev/random, /dev/urandom and getrandom.

#include <cstddef>
#include <span>

namespace faultline {

/// Fills `bytes`. Never fails; until the first entropy has come they depend on the time counter alone.
void random_bytes(std::span<std::byte> bytes);

/// Mixes unpredictable input into the generator. Safe in interrupt context.
void add_entropy(std::span<const std::byte> input);

/// Tells the generator how to ask for more entropy, which it does from time to time; add_entropy brings it
/// later.
void set_entropy_source(void (*request)());

}  // namespace faultline
