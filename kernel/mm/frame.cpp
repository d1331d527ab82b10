#include "kernel/mm/frame.hpp"

namespace faultline {

namespace {

// Pages hold objects of any type; the attribute lets words read and write them.
using Word [[gnu::may_alias]] = std::uint64_t;

// One page is most of what a fault costs. So the loops are unrolled, by fold expressions, which the compiler
// does not turn back into calls: with 128 words a turn the loop's own instructions hardly count.
constexpr std::size_t kUnrolled = 128;
constexpr std::size_t kGroup = 8;
static_assert(kPageSize % (kUnrolled * sizeof(Word)) == 0 && kUnrolled % kGroup == 0);

template <std::size_t... I>
inline void zero_words(Word* word, std::index_sequence<I...>) {
  ((word[I] = 0), ...);
}

/// The program that owns the source may write to it meanwhile (fork of a process with threads): each word is
/// read once.
inline Word load(const Word* word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }

/// All loads of a group stand before its stores: the compiler cannot know that the pages do not overlap.
inline void copy_group(Word* to, const Word* from) {
  const Word a = load(from), b = load(from + 1), c = load(from + 2), d = load(from + 3);
  const Word e = load(from + 4), f = load(from + 5), g = load(from + 6), h = load(from + 7);
  to[0] = a;
  to[1] = b;
  to[2] = c;
  to[3] = d;
  to[4] = e;
  to[5] = f;
  to[6] = g;
  to[7] = h;
}

template <std::size_t... I>
inline void copy_groups(Word* to, const Word* from, std::index_sequence<I...>) {
  (copy_group(to + kGroup * I, from + kGroup * I), ...);
}

}  // namespace

void PageRef::zero() const noexcept {
  Word* word = reinterpret_cast<Word*>(first_byte_);
  Word* const end = word + kPageSize / sizeof(Word);
  for (; word != end; word += kUnrolled) zero_words(word, std::make_index_sequence<kUnrolled>());
}

void PageRef::copy_from(PageRef source) const noexcept {
  Word* to = reinterpret_cast<Word*>(first_byte_);
  const Word* from = reinterpret_cast<const Word*>(source.first_byte_);
  const Word* const end = from + kPageSize / sizeof(Word);
  for (; from != end; from += kUnrolled, to += kUnrolled) {
    copy_groups(to, from, std::make_index_sequence<kUnrolled / kGroup>());
  }
}

Result<Frame> Frame::allocate(FrameContents contents) noexcept {
  const std::optional<Pa> frame = platform::allocate_frame(contents);
  if (!frame) return failure(KernelError::OutOfMemory);
  return adopt(*frame);
}

void Frame::release_reference(Pa frame) noexcept {
  FrameInfo& info = platform::frame_info(frame);
  // Acquire and release: whatever any owner did with the frame happens before it is given away.
  const std::uint32_t before = info.references.fetch_sub(1, std::memory_order_acq_rel);
  ASSERT(before != 0);
  if (before == 1) platform::release_frame(frame);
}

}  // namespace faultline
