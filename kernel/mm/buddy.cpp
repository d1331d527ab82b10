#include "kernel/mm/buddy.hpp"

#include <algorithm>
#include <bit>

namespace faultline {

namespace {

#ifdef FAULTLINE_JUNK_FILL
/// Makes use after free visible: no pointer, no zero, no plausible length.
void fill_with_junk(Pa frame) {
  const std::span<std::byte> bytes = PageRef::from_pa(frame).bytes();
  std::fill(bytes.begin(), bytes.end(), std::byte{0xa5});
}
#else
void fill_with_junk(Pa) {}
#endif

constexpr std::uint32_t frames_in(unsigned order) { return std::uint32_t{1} << order; }

}  // namespace

// --- Blocks ---

BuddyAllocator::BuddyAllocator(Pa first, std::size_t frames, FrameInfo* info)
    : first_(first),
      first_number_(first.page_number()),
      frames_(static_cast<std::uint32_t>(frames)),
      info_(info) {
  ASSERT(frames < kNone);
  heads_.fill(kNone);
}

std::uint32_t BuddyAllocator::next_of(std::uint32_t index) const {
  return static_cast<std::uint32_t>(info_[index].tag.load(std::memory_order_relaxed));
}

std::uint32_t BuddyAllocator::previous_of(std::uint32_t index) const {
  return static_cast<std::uint32_t>(info_[index].tag.load(std::memory_order_relaxed) >> 32);
}

void BuddyAllocator::set_links(std::uint32_t index, std::uint32_t next, std::uint32_t previous) {
  info_[index].tag.store(std::uint64_t{previous} << 32 | next, std::memory_order_relaxed);
}

bool BuddyAllocator::is_free_block(std::uint32_t index, unsigned order) const {
  return info_[index].table_lock.load(std::memory_order_relaxed) == kFreeMark + order;
}

void BuddyAllocator::push(std::uint32_t index, unsigned order) {
  std::uint32_t& head = heads_[order];
  info_[index].table_lock.store(kFreeMark + order, std::memory_order_relaxed);
  set_links(index, head, kNone);
  if (head != kNone) set_links(head, next_of(head), index);
  head = index;
}

void BuddyAllocator::unlink(std::uint32_t index, unsigned order) {
  const std::uint32_t next = next_of(index), previous = previous_of(index);
  if (previous == kNone) {
    heads_[order] = next;
  } else {
    set_links(previous, next, previous_of(previous));
  }
  if (next != kNone) set_links(next, next_of(next), previous);
  info_[index].table_lock.store(0, std::memory_order_relaxed);
  info_[index].tag.store(0, std::memory_order_relaxed);
}

std::optional<Pa> BuddyAllocator::allocate(unsigned order) {
  ASSERT(order <= kMaxOrder);
  const SpinGuard guard(lock_);
  unsigned found = order;
  while (found <= kMaxOrder && heads_[found] == kNone) ++found;
  if (found > kMaxOrder) return std::nullopt;
  const std::uint32_t index = heads_[found];
  unlink(index, found);
  // The lower half goes on being split, the upper halves are free.
  while (found > order) {
    --found;
    push(index + frames_in(found), found);
  }
  free_frames_.fetch_sub(frames_in(order), std::memory_order_relaxed);
  return Pa::from_page_number(first_number_ + index);
}

void BuddyAllocator::release_locked(std::uint32_t index, unsigned order) {
  free_frames_.fetch_add(frames_in(order), std::memory_order_relaxed);
  for (; order < kMaxOrder; ++order) {
    // Buddies differ in one bit of the frame number, so that blocks are aligned physically.
    const std::uint64_t buddy_number = (first_number_ + index) ^ frames_in(order);
    if (buddy_number < first_number_ || buddy_number - first_number_ + frames_in(order) > frames_) break;
    const auto buddy = static_cast<std::uint32_t>(buddy_number - first_number_);
    if (!is_free_block(buddy, order)) break;
    unlink(buddy, order);
    index = std::min(index, buddy);
  }
  push(index, order);
}

void BuddyAllocator::release(Pa block, unsigned order) {
  ASSERT(order <= kMaxOrder && contains(block) && (block.page_number() & (frames_in(order) - 1)) == 0);
  const auto index = static_cast<std::uint32_t>(block.page_number() - first_number_);
  const SpinGuard guard(lock_);
  // A block that is free already lies in some free block.
  for (unsigned above = 0; above <= kMaxOrder; ++above) {
    const std::uint64_t holder = block.page_number() & ~std::uint64_t{frames_in(above) - 1};
    if (holder < first_number_) break;
    if (is_free_block(static_cast<std::uint32_t>(holder - first_number_), above)) {
      panic("a free block of frames is released");
    }
  }
  release_locked(index, order);
}

void BuddyAllocator::release_frames(std::span<const std::uint64_t> addresses) {
  const SpinGuard guard(lock_);
  for (const std::uint64_t address : addresses) {
    const auto index = static_cast<std::uint32_t>((address >> kPageShift) - first_number_);
    ASSERT(!is_free_block(index, 0));
    release_locked(index, 0);
  }
}

void BuddyAllocator::add_free_range(Pa start, Pa end) {
  ASSERT(start.page_aligned() && end.page_aligned() && start <= end && contains(start));
  const SpinGuard guard(lock_);
  auto index = static_cast<std::uint32_t>(start.page_number() - first_number_);
  const auto last = static_cast<std::uint32_t>(end.page_number() - first_number_);
  ASSERT(last <= frames_);
  total_frames_ += last - index;
  while (index < last) {
    unsigned order =
        std::min<unsigned>(kMaxOrder, static_cast<unsigned>(std::countr_zero(first_number_ + index)));
    while (index + frames_in(order) > last) --order;
    release_locked(index, order);
    index += frames_in(order);
  }
}

void BuddyAllocator::check() {
  const SpinGuard guard(lock_);
  std::size_t seen = 0;
  for (unsigned order = 0; order <= kMaxOrder; ++order) {
    std::uint32_t previous = kNone;
    for (std::uint32_t index = heads_[order]; index != kNone; previous = index, index = next_of(index)) {
      ASSERT(index + frames_in(order) <= frames_ && is_free_block(index, order) &&
             previous_of(index) == previous);
      const std::uint64_t number = first_number_ + index;
      ASSERT(number % frames_in(order) == 0);
      for (std::uint32_t inside = 1; inside < frames_in(order); ++inside) {
        ASSERT(info_[index + inside].table_lock.load(std::memory_order_relaxed) == 0);
      }
      const std::uint64_t buddy = number ^ frames_in(order);
      const bool has_buddy = buddy >= first_number_ && buddy - first_number_ + frames_in(order) <= frames_;
      ASSERT(order == kMaxOrder || !has_buddy ||
             !is_free_block(static_cast<std::uint32_t>(buddy - first_number_), order));
      seen += frames_in(order);
    }
  }
  ASSERT(seen == free_frames());
}

// --- Frames, per hart ---

namespace {

/// The frame that was put there last.
template <std::size_t kFrames>
std::optional<Pa> pop(std::atomic<std::uint32_t>& count, const std::array<std::uint64_t, kFrames>& frames) {
  const std::uint32_t left = count.load(std::memory_order_relaxed);
  if (left == 0) return std::nullopt;
  count.store(left - 1, std::memory_order_relaxed);
  return Pa::checked(frames[left - 1]);
}

}  // namespace

std::optional<Pa> FrameAllocator::allocate_otherwise(Magazine& magazine, bool zeroed) {
  std::optional<Pa> frame;
  if (zeroed) frame = pop(magazine.zeroed_count, magazine.zeroed);
  const bool was_zeroed = frame.has_value();
  if (!frame) frame = refill(magazine);
  // Memory is out, but for what is kept ready: frames zeroed ahead, and then others' reserves.
  if (!frame) frame = pop(magazine.zeroed_count, magazine.zeroed);
  if (!frame && release_reserve_ != nullptr && release_reserve_()) {
    frame = pop(magazine.count, magazine.frames);
    if (!frame) frame = refill(magazine);
  }
  if (!frame) return std::nullopt;
  info(*frame).references.store(1, std::memory_order_relaxed);
  if (zeroed && !was_zeroed) PageRef::from_pa(*frame).zero();
  return frame;
}

std::optional<Pa> FrameAllocator::refill(Magazine& magazine) {
  // Half a magazine in one block if there is one, so that harts do not share the lines of neighbouring
  // FrameInfos.
  constexpr unsigned kRefillOrder = 5;
  static_assert(frames_in(kRefillOrder) == kMagazine / 2);
  for (unsigned order = kRefillOrder + 1; order-- > 0;) {
    const std::optional<Pa> block = buddy_.allocate(order);
    if (!block) continue;
    // The lowest frame is handed out, the next ones follow it in ascending order.
    std::uint32_t count = 0;
    for (std::uint32_t i = frames_in(order); i-- > 1;) {
      magazine.frames[count++] = block->value() + i * kPageSize;
    }
    magazine.count.store(count, std::memory_order_relaxed);
    return block;
  }
  return std::nullopt;
}

void FrameAllocator::release(Pa frame) {
  ASSERT(info(frame).references.load(std::memory_order_relaxed) == 0);
  fill_with_junk(frame);
  Magazine& magazine = magazines_[platform::current_hart()];
  std::uint32_t count = magazine.count.load(std::memory_order_relaxed);
  if (count == kMagazine) [[unlikely]] {
    spill(magazine, kMagazine / 2);
    count = kMagazine / 2;
  }
  // What a page table left in the bookkeeping would look like a free block to the buddy allocator.
  info(frame).table_lock.store(0, std::memory_order_relaxed);
  magazine.frames[count] = frame.value();
  magazine.count.store(count + 1, std::memory_order_relaxed);
}

void FrameAllocator::spill(Magazine& magazine, std::uint32_t keep) {
  std::uint32_t count = magazine.count.load(std::memory_order_relaxed);
  if (count <= keep) return;
  // The oldest go: the newest may still be in the hart's caches.
  const std::uint32_t spilled = count - keep;
  buddy_.release_frames(std::span(magazine.frames).first(spilled));
  std::copy(magazine.frames.begin() + spilled, magazine.frames.begin() + count, magazine.frames.begin());
  magazine.count.store(keep, std::memory_order_relaxed);
}

std::optional<Pa> FrameAllocator::allocate_block(unsigned order, FrameContents contents) {
  if (order > kMaxOrder) return std::nullopt;
  std::optional<Pa> block = buddy_.allocate(order);
  if (!block) {
    drain();
    block = buddy_.allocate(order);
    if (!block) return std::nullopt;
  }
  for (std::uint32_t i = 0; i < frames_in(order); ++i) {
    const Pa frame = *block + i * kPageSize;
    info(frame).references.store(1, std::memory_order_relaxed);
    if (contents == FrameContents::Zeroed) PageRef::from_pa(frame).zero();
  }
  return block;
}

void FrameAllocator::release_block(Pa block, unsigned order) {
  for (std::uint32_t i = 0; i < frames_in(order); ++i) {
    FrameInfo& frame = info(block + i * kPageSize);
    frame.references.store(0, std::memory_order_relaxed);
    frame.table_lock.store(0, std::memory_order_relaxed);
    fill_with_junk(block + i * kPageSize);
  }
  buddy_.release(block, order);
}

bool FrameAllocator::prepare_zeroed_frame() {
  Magazine& magazine = magazines_[platform::current_hart()];
  const std::uint32_t ready = magazine.zeroed_count.load(std::memory_order_relaxed);
  // Not the last memory: a frame put aside here is out of the other harts' reach.
  if (ready == kZeroed || buddy_.free_frames() < total_frames() / 16) return false;
  const std::optional<Pa> frame = buddy_.allocate(0);
  if (!frame) return false;
  PageRef::from_pa(*frame).zero();
  magazine.zeroed[ready] = frame->value();
  magazine.zeroed_count.store(ready + 1, std::memory_order_relaxed);
  return true;
}

std::size_t FrameAllocator::free_frames() const {
  std::size_t frames = buddy_.free_frames();
  magazines_.for_each([&](const Magazine& magazine) {
    frames += magazine.count.load(std::memory_order_relaxed) +
              magazine.zeroed_count.load(std::memory_order_relaxed);
  });
  return frames;
}

void FrameAllocator::drain() {
  Magazine& magazine = magazines_[platform::current_hart()];
  spill(magazine, 0);
  const std::uint32_t ready = magazine.zeroed_count.exchange(0, std::memory_order_relaxed);
  buddy_.release_frames(std::span(magazine.zeroed).first(ready));
}

}  // namespace faultline
