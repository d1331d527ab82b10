// The generator keeps a ChaCha20 key. Each request encrypts zeroes with it: half of the block becomes the
// next key, so that bytes given out earlier cannot be computed from what the memory holds now; the other half
// serves the request, as its bytes if they are enough, otherwise as the key of a stream. Entropy is mixed in
// by adding it to the key and encrypting once.

#include "kernel/dev/random.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "kernel/dev/chacha20.hpp"
#include "kernel/dev/clock.hpp"
#include "kernel/lib/spin_lock.hpp"

namespace faultline {
namespace {

constexpr std::size_t kBytesPerEntropy = 64 * 1024;  // given out before more entropy is asked for

SpinLock lock{LockRank::Leaf};
ChaChaKey current_key = {};
std::atomic<std::size_t> given_out = 0;
std::atomic<void (*)()> entropy_source = nullptr;

// Replaces the key, and returns one that serves a single request.
ChaChaKey next_key() {
  SpinGuard guard(lock);
  const std::uint64_t now = clock::now().count();
  const ChaChaBlock block = chacha20_block(
      current_key, 0, {static_cast<std::uint32_t>(now), static_cast<std::uint32_t>(now >> 32), 0});
  ChaChaKey request_key;
  std::copy_n(block.begin(), 8, current_key.begin());
  std::copy_n(block.begin() + 8, 8, request_key.begin());
  return request_key;
}

}  // namespace

void random_bytes(std::span<std::byte> bytes) {
  const ChaChaKey key = next_key();
  given_out.fetch_add(bytes.size(), std::memory_order_relaxed);
  if (bytes.size() <= sizeof(key)) {
    std::memcpy(bytes.data(), key.data(), bytes.size());
    bytes = {};
  }
  std::uint32_t counter = 0;
  while (!bytes.empty()) {
    const ChaChaBlock block = chacha20_block(key, counter++, {1, 0, 0});
    const std::size_t count = std::min(bytes.size(), sizeof(block));
    std::memcpy(bytes.data(), block.data(), count);
    bytes = bytes.subspan(count);
  }
  if (given_out.load(std::memory_order_relaxed) < kBytesPerEntropy) return;
  given_out.store(0, std::memory_order_relaxed);
  if (const auto request = entropy_source.load(std::memory_order_acquire)) request();
}

void add_entropy(std::span<const std::byte> input) {
  {
    SpinGuard guard(lock);
    while (!input.empty()) {
      ChaChaKey part = {};
      const std::size_t count = std::min(input.size(), sizeof(part));
      std::memcpy(part.data(), input.data(), count);
      input = input.subspan(count);
      for (std::size_t i = 0; i < part.size(); ++i) current_key[i] ^= part[i];
      const ChaChaBlock block = chacha20_block(current_key, 0, {2, 0, 0});
      std::copy_n(block.begin(), 8, current_key.begin());
    }
  }
  (void)next_key();
}

void set_entropy_source(void (*request)()) { entropy_source.store(request, std::memory_order_release); }

}  // namespace faultline
