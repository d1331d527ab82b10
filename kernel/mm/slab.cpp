#include "kernel/mm/slab.hpp"

#include <algorithm>
#include <bit>

#include "kernel/lib/panic.hpp"

namespace faultline {

namespace {

// A slab's FrameInfo. table_lock: objects in use (high half), number of the first free object (low half).
// tag: the next (low half) and previous slab with room, as Links. A free object begins with the number of the
// next free one.
constexpr std::uint32_t kNoObject = 0xffff;

struct SlabState {
  std::uint32_t used;
  std::uint32_t first_free;
};

SlabState state_of(const FrameInfo& slab) {
  const std::uint32_t word = slab.table_lock.load(std::memory_order_relaxed);
  return {word >> 16, word & 0xffff};
}
void set_state(FrameInfo& slab, SlabState state) {
  slab.table_lock.store(state.used << 16 | state.first_free, std::memory_order_relaxed);
}

std::uint16_t& link_in(std::byte* object) { return *reinterpret_cast<std::uint16_t*>(object); }

constexpr std::uint32_t next_in(std::uint64_t tag) { return static_cast<std::uint32_t>(tag); }
constexpr std::uint32_t previous_in(std::uint64_t tag) { return static_cast<std::uint32_t>(tag >> 32); }
constexpr std::uint64_t tag_of(std::uint32_t next, std::uint32_t previous) {
  return std::uint64_t{previous} << 32 | next;
}

}  // namespace

// Frame numbers have 44 bits, links 32: they count from 2^31 frames below the first slab there ever was,
// which reaches 8 TiB to either side of it.

SlabAllocator::Link SlabAllocator::link_of(Pa frame) {
  std::uint64_t base = link_base_.load(std::memory_order_relaxed);
  if (base == 0) {
    // Two size classes, under locks of their own, may make their first slabs at once: one of them chooses.
    const std::uint64_t proposed = frame.page_number() - (std::uint64_t{1} << 31);
    if (link_base_.compare_exchange_strong(base, proposed, std::memory_order_relaxed)) base = proposed;
  }
  const std::uint64_t link = frame.page_number() - base;
  ASSERT(link != kNoSlab && link <= UINT32_MAX);
  return static_cast<Link>(link);
}

Pa SlabAllocator::frame_at(Link link) const {
  return Pa::from_page_number(link_base_.load(std::memory_order_relaxed) + link);
}

void SlabAllocator::push_slab(SizeClass& sizes, Pa frame) {
  const Link link = link_of(frame), head = sizes.first_with_room;
  platform::frame_info(frame).tag.store(tag_of(head, kNoSlab), std::memory_order_relaxed);
  if (head != kNoSlab) {
    std::atomic<std::uint64_t>& tag = platform::frame_info(frame_at(head)).tag;
    tag.store(tag_of(next_in(tag.load(std::memory_order_relaxed)), link), std::memory_order_relaxed);
  }
  sizes.first_with_room = link;
}

void SlabAllocator::unlink_slab(SizeClass& sizes, Pa frame) {
  const std::uint64_t links = platform::frame_info(frame).tag.exchange(0, std::memory_order_relaxed);
  const Link next = next_in(links), previous = previous_in(links);
  if (previous == kNoSlab) {
    sizes.first_with_room = next;
  } else {
    std::atomic<std::uint64_t>& tag = platform::frame_info(frame_at(previous)).tag;
    tag.store(tag_of(next, previous_in(tag.load(std::memory_order_relaxed))), std::memory_order_relaxed);
  }
  if (next != kNoSlab) {
    std::atomic<std::uint64_t>& tag = platform::frame_info(frame_at(next)).tag;
    tag.store(tag_of(next_in(tag.load(std::memory_order_relaxed)), previous), std::memory_order_relaxed);
  }
}

SlabAllocator::SlabAllocator(Pa (*frame_of)(const void*)) : frame_of_(frame_of) {}

std::optional<std::size_t> SlabAllocator::class_for(std::size_t bytes, std::size_t alignment) {
  /// The smallest class for 16 * i bytes, which is the step between classes where they are closest.
  static constexpr auto kSmallest = [] {
    std::array<std::uint8_t, kSizes.back() / kSizes.front() + 1> smallest{};
    for (std::size_t i = 0, fit = 0; i < smallest.size(); ++i) {
      if (i * kSizes.front() > kSizes[fit]) ++fit;
      smallest[i] = static_cast<std::uint8_t>(fit);
    }
    return smallest;
  }();
  if (bytes > kSizes.back()) return std::nullopt;
  std::size_t fit = kSmallest[(bytes + kSizes.front() - 1) / kSizes.front()];
  // Objects are packed from a page boundary: a size's greatest power of two is what they are aligned to.
  while ((kSizes[fit] & (alignment - 1)) != 0) {
    if (++fit == kClasses) return std::nullopt;
  }
  return fit;
}

unsigned SlabAllocator::order_for(std::size_t bytes) {
  return static_cast<unsigned>(std::bit_width((bytes - 1) >> kPageShift));
}

void* SlabAllocator::allocate(std::size_t bytes, std::size_t alignment) {
  const std::optional<std::size_t> size_class = class_for(bytes, alignment);
  if (!size_class) {
    const unsigned order = order_for(bytes);
    const std::optional<Pa> block = order == 0 ? platform::allocate_frame(FrameContents::Any)
                                               : platform::allocate_block(order, FrameContents::Any);
    if (!block) return nullptr;
    frames_.fetch_add(std::size_t{1} << order, std::memory_order_relaxed);
    return platform::frame_bytes(*block);
  }
  HartMagazines& mine = magazines_[platform::current_hart()];
  const SpinGuard guard(mine.lock);
  Magazine& magazine = mine.magazines[*size_class];
  if (magazine.count == 0) {
    magazine.count =
        static_cast<std::uint32_t>(take(*size_class, std::span(magazine.objects).first(kMagazine / 2)));
    if (magazine.count == 0) return nullptr;
  }
  return magazine.objects[--magazine.count];
}

void SlabAllocator::release(void* memory, std::size_t bytes, std::size_t alignment) {
  const std::optional<std::size_t> size_class = class_for(bytes, alignment);
  if (!size_class) {
    const unsigned order = order_for(bytes);
    const std::size_t frames = std::size_t{1} << order;
    const Pa block = frame_of_(memory);
    for (std::size_t i = 0; i < frames; ++i) {
      platform::frame_info(block + i * kPageSize).references.store(0, std::memory_order_relaxed);
    }
    frames_.fetch_sub(frames, std::memory_order_relaxed);
    if (order > 0) {
      platform::release_block(block, order);
    } else {
      platform::release_frame(block);
    }
    return;
  }
  HartMagazines& mine = magazines_[platform::current_hart()];
  const SpinGuard guard(mine.lock);
  Magazine& magazine = mine.magazines[*size_class];
  if (magazine.count == kMagazine) {
    constexpr std::size_t kHalf = kMagazine / 2;
    give_back(*size_class, std::span(magazine.objects).first(kHalf));
    std::copy(magazine.objects.begin() + kHalf, magazine.objects.end(), magazine.objects.begin());
    magazine.count = kHalf;
  }
  magazine.objects[magazine.count++] = memory;
}

std::size_t SlabAllocator::take(std::size_t size_class, std::span<void*> out) {
  SizeClass& sizes = classes_[size_class];
  const std::uint32_t size = kSizes[size_class];
  std::size_t taken = 0;
  const SpinGuard guard(sizes.lock);
  while (taken < out.size()) {
    if (sizes.first_with_room == kNoSlab) {
      // Fewer than wanted are enough: a new slab only for somebody who would get nothing.
      if (taken > 0) break;
      const std::optional<Pa> fresh = platform::allocate_frame(FrameContents::Any);
      if (!fresh) break;
      frames_.fetch_add(1, std::memory_order_relaxed);
      ++sizes.slabs;
      std::byte* const bytes = platform::frame_bytes(*fresh);
      const auto objects = static_cast<std::uint32_t>(kPageSize / size);
      for (std::uint32_t i = 0; i < objects; ++i) {
        link_in(bytes + std::size_t{i} * size) =
            static_cast<std::uint16_t>(i + 1 < objects ? i + 1 : kNoObject);
      }
      set_state(platform::frame_info(*fresh), {0, 0});
      push_slab(sizes, *fresh);
    }
    const Pa frame = frame_at(sizes.first_with_room);
    FrameInfo& slab = platform::frame_info(frame);
    std::byte* const bytes = platform::frame_bytes(frame);
    SlabState state = state_of(slab);
    while (taken < out.size() && state.first_free != kNoObject) {
      std::byte* const object = bytes + std::size_t{state.first_free} * size;
      state = {state.used + 1, link_in(object)};
      out[taken++] = object;
    }
    set_state(slab, state);
    if (state.first_free == kNoObject) unlink_slab(sizes, frame);
  }
  sizes.objects_in_use += taken;
  return taken;
}

void SlabAllocator::give_back(std::size_t size_class, std::span<void* const> objects) {
  SizeClass& sizes = classes_[size_class];
  const std::uint32_t size = kSizes[size_class];
  const SpinGuard guard(sizes.lock);
  sizes.objects_in_use -= objects.size();
  for (void* const memory : objects) {
    std::byte* const object = static_cast<std::byte*>(memory);
    const Pa frame = frame_of_(object);
    FrameInfo& slab = platform::frame_info(frame);
    const SlabState state = state_of(slab);
    ASSERT(state.used > 0);
    if (state.first_free == kNoObject) push_slab(sizes, frame);
    const auto index = static_cast<std::uint32_t>(object - platform::frame_bytes(frame)) / size;
    link_in(object) = static_cast<std::uint16_t>(state.first_free);
    set_state(slab, {state.used - 1, index});
    if (state.used == 1) {
      unlink_slab(sizes, frame);
      set_state(slab, {0, 0});
      slab.references.store(0, std::memory_order_relaxed);
      frames_.fetch_sub(1, std::memory_order_relaxed);
      --sizes.slabs;
      platform::release_frame(frame);
    }
  }
}

void SlabAllocator::trim() {
  magazines_.for_each([&](HartMagazines& harts) {
    const SpinGuard guard(harts.lock);
    for (std::size_t size_class = 0; size_class < kClasses; ++size_class) {
      Magazine& magazine = harts.magazines[size_class];
      give_back(size_class, std::span(magazine.objects).first(std::exchange(magazine.count, 0)));
    }
  });
}

std::optional<SlabAllocator::ClassUse> SlabAllocator::class_use(std::size_t size_class) {
  if (size_class >= kClasses) return std::nullopt;
  SizeClass& sizes = classes_[size_class];
  const SpinGuard guard(sizes.lock);
  return ClassUse{kSizes[size_class], sizes.objects_in_use, sizes.slabs};
}

std::size_t SlabAllocator::frames_in_use() const { return frames_.load(std::memory_order_relaxed); }

}  // namespace faultline
