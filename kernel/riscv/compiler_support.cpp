// Functions that the compiler calls by name: libgcc and libc are not linked (libgcc of a cross compiler has
// another ABI).

#include <cstddef>
#include <cstdint>
#include <new>

#include "kernel/lib/panic.hpp"

// The loops below are what the compiler would replace by calls of these very functions.
#define NOT_A_CALL_OF_ITSELF __attribute__((optimize("no-tree-loop-distribute-patterns")))

namespace {

using Word = std::uint64_t;
// Accesses through it may alias anything.
using AliasedWord [[gnu::may_alias]] = Word;

constexpr std::size_t kUnrolled = 8;

/// Eight words, all loaded before the first is stored. That they may be anything keeps the compiler from
/// loading those of the next group as well, for which there are no registers.
inline void copy_group(AliasedWord* to, const AliasedWord* from) {
  const Word w0 = from[0], w1 = from[1], w2 = from[2], w3 = from[3];
  const Word w4 = from[4], w5 = from[5], w6 = from[6], w7 = from[7];
  to[0] = w0, to[1] = w1, to[2] = w2, to[3] = w3;
  to[4] = w4, to[5] = w5, to[6] = w6, to[7] = w7;
}

bool both_aligned(const void* a, const void* b) {
  return ((reinterpret_cast<std::uintptr_t>(a) | reinterpret_cast<std::uintptr_t>(b)) % sizeof(Word)) == 0;
}

}  // namespace

extern "C" {

NOT_A_CALL_OF_ITSELF void* memcpy(void* to, const void* from, std::size_t size) {
  auto* out = static_cast<std::uint8_t*>(to);
  const auto* in = static_cast<const std::uint8_t*>(from);
  const std::uintptr_t difference =
      reinterpret_cast<std::uintptr_t>(out) ^ reinterpret_cast<std::uintptr_t>(in);
  if (difference % sizeof(Word) == 0 && size >= sizeof(Word)) {
    for (; reinterpret_cast<std::uintptr_t>(out) % sizeof(Word) != 0; --size) *out++ = *in++;
    auto* words_out = reinterpret_cast<AliasedWord*>(out);
    const auto* words_in = reinterpret_cast<const AliasedWord*>(in);
    // Pages and what is nearly a page: most of what read and write cost.
    constexpr std::size_t kStride = 4 * kUnrolled;
    for (; size >= kStride * sizeof(Word); size -= kStride * sizeof(Word)) {
      copy_group(words_out, words_in);
      copy_group(words_out + kUnrolled, words_in + kUnrolled);
      copy_group(words_out + 2 * kUnrolled, words_in + 2 * kUnrolled);
      copy_group(words_out + 3 * kUnrolled, words_in + 3 * kUnrolled);
      words_out += kStride;
      words_in += kStride;
    }
    for (; size >= kUnrolled * sizeof(Word); size -= kUnrolled * sizeof(Word)) {
      copy_group(words_out, words_in);
      words_out += kUnrolled;
      words_in += kUnrolled;
    }
    for (; size >= sizeof(Word); size -= sizeof(Word)) *words_out++ = *words_in++;
    out = reinterpret_cast<std::uint8_t*>(words_out);
    in = reinterpret_cast<const std::uint8_t*>(words_in);
  }
  while (size-- > 0) *out++ = *in++;
  return to;
}

NOT_A_CALL_OF_ITSELF void* memmove(void* to, const void* from, std::size_t size) {
  auto* out = static_cast<std::uint8_t*>(to);
  const auto* in = static_cast<const std::uint8_t*>(from);
  if (static_cast<std::size_t>(out - in) >= size) return memcpy(to, from, size);  // no overlap behind `from`
  out += size;
  in += size;
  if (both_aligned(out, in)) {
    for (; size >= sizeof(Word); size -= sizeof(Word)) {
      out -= sizeof(Word);
      in -= sizeof(Word);
      *reinterpret_cast<AliasedWord*>(out) = *reinterpret_cast<const AliasedWord*>(in);
    }
  }
  while (size-- > 0) *--out = *--in;
  return to;
}

NOT_A_CALL_OF_ITSELF void* memset(void* to, int value, std::size_t size) {
  auto* out = static_cast<std::uint8_t*>(to);
  const auto byte = static_cast<std::uint8_t>(value);
  if (size >= 2 * sizeof(Word)) {
    const Word word = byte * Word{0x0101010101010101};
    for (; reinterpret_cast<std::uintptr_t>(out) % sizeof(Word) != 0; --size) *out++ = byte;
    auto* words = reinterpret_cast<AliasedWord*>(out);
    for (; size >= kUnrolled * sizeof(Word); size -= kUnrolled * sizeof(Word)) {
      words[0] = word, words[1] = word, words[2] = word, words[3] = word;
      words[4] = word, words[5] = word, words[6] = word, words[7] = word;
      words += kUnrolled;
    }
    for (; size >= sizeof(Word); size -= sizeof(Word)) *words++ = word;
    out = reinterpret_cast<std::uint8_t*>(words);
  }
  while (size-- > 0) *out++ = byte;
  return to;
}

NOT_A_CALL_OF_ITSELF int memcmp(const void* left, const void* right, std::size_t size) {
  const auto* a = static_cast<const std::uint8_t*>(left);
  const auto* b = static_cast<const std::uint8_t*>(right);
  if (both_aligned(a, b)) {
    while (size >= sizeof(Word) &&
           *reinterpret_cast<const AliasedWord*>(a) == *reinterpret_cast<const AliasedWord*>(b)) {
      a += sizeof(Word);
      b += sizeof(Word);
      size -= sizeof(Word);
    }
  }
  for (; size > 0; --size, ++a, ++b) {
    if (*a != *b) return *a < *b ? -1 : 1;
  }
  return 0;
}

NOT_A_CALL_OF_ITSELF void* memchr(const void* bytes, int value, std::size_t size) {
  const auto* next = static_cast<const std::uint8_t*>(bytes);
  for (; size > 0; --size, ++next) {
    if (*next == static_cast<std::uint8_t>(value)) return const_cast<std::uint8_t*>(next);
  }
  return nullptr;
}

NOT_A_CALL_OF_ITSELF std::size_t strlen(const char* text) {
  std::size_t length = 0;
  while (text[length] != '\0') ++length;
  return length;
}

char* strcpy(char* __restrict to, const char* __restrict from) {
  memcpy(to, from, strlen(from) + 1);
  return to;
}

// The names from here on are the compiler's and its libraries'. NOLINTBEGIN(readability-identifier-naming)

// The base instruction set has no atomic operation on bytes: the word around it is exchanged until nothing
// else in it has changed meanwhile. libatomic's name and arguments.
std::uint8_t __atomic_exchange_1(volatile void* object, std::uint8_t value, int) {
  const auto address = reinterpret_cast<std::uintptr_t>(object);
  auto* const word = reinterpret_cast<volatile std::uint32_t*>(address & ~std::uintptr_t{3});
  const unsigned shift = 8 * (address & 3);
  std::uint32_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(word, &seen, (seen & ~(0xffu << shift)) | std::uint32_t{value} << shift,
                                      true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
  }
  return static_cast<std::uint8_t>(seen >> shift);
}

// libgcc's integer helpers for a base instruction set without Zbb.
int __popcountdi2(std::uint64_t value) {
  value -= value >> 1 & 0x5555555555555555;
  value = (value & 0x3333333333333333) + (value >> 2 & 0x3333333333333333);
  value = (value + (value >> 4)) & 0x0f0f0f0f0f0f0f0f;
  return static_cast<int>(value * 0x0101010101010101 >> 56);
}

int __ctzdi2(std::uint64_t value) { return __popcountdi2((value & -value) - 1); }

int __clzdi2(std::uint64_t value) {
  for (unsigned shift = 1; shift < 64; shift *= 2) value |= value >> shift;
  return 64 - __popcountdi2(value);
}

int __ffsdi2(std::uint64_t value) { return value == 0 ? 0 : __ctzdi2(value) + 1; }

std::uint32_t __bswapsi2(std::uint32_t value) {
  return value >> 24 | (value >> 8 & 0xff00) | (value << 8 & 0xff0000) | value << 24;
}

std::uint64_t __bswapdi2(std::uint64_t value) {
  return static_cast<std::uint64_t>(__bswapsi2(static_cast<std::uint32_t>(value))) << 32 |
         __bswapsi2(static_cast<std::uint32_t>(value >> 32));
}

// The kernel's static objects are never destroyed.
void* __dso_handle = nullptr;
int __cxa_atexit(void (*)(void*), void*, void*) { return 0; }

void __cxa_pure_virtual() { faultline::panic("call of a pure virtual function"); }
}

// Deleting destructors refer to these, but objects die through heap_release (lib/heap.hpp).
void operator delete(void*) noexcept { faultline::panic("operator delete"); }
void operator delete(void*, std::size_t) noexcept { faultline::panic("operator delete"); }
void operator delete(void*, std::size_t, std::align_val_t) noexcept { faultline::panic("operator delete"); }

// What checked members of the standard library call instead of throwing.
namespace std {
void __throw_out_of_range_fmt(const char* message, ...) { faultline::panic(message); }
void __throw_length_error(const char* message) { faultline::panic(message); }
void __throw_bad_optional_access() { faultline::panic("access of an empty optional"); }
}  // namespace std
// NOLINTEND(readability-identifier-naming)

// libstdc++ calls it where a program with exceptions could not go on.
namespace std {
[[noreturn]] void terminate() noexcept { faultline::panic("std::terminate"); }
}  // namespace std
