#include "kernel/dev/virtqueue.hpp"

#include <atomic>
#include <bit>
#include <cstring>

namespace faultline {

// available: flags, index, then the ring. used: flags, index, then the ring of elements.

Virtqueue::~Virtqueue() {
  if (!memory_) return;
  platform::frame_info(*memory_).references.store(0, std::memory_order_relaxed);  // ours was the only one
  platform::release_block(*memory_, kBlockOrder);
}

Result<> Virtqueue::allocate(std::uint16_t size) {
  ASSERT(std::has_single_bit(size) && size <= kMaxSize);
  static_assert(kMaxSize * sizeof(Descriptor) + (3 + kMaxSize) * sizeof(std::uint16_t) <= kPageSize);
  static_assert(3 * sizeof(std::uint16_t) + kMaxSize * sizeof(UsedElement) <= kPageSize);
  if (!memory_) memory_ = platform::allocate_block(kBlockOrder, FrameContents::Zeroed);
  if (!memory_) return failure(KernelError::OutOfMemory);
  std::memset(platform::frame_bytes(*memory_), 0, kPageSize << kBlockOrder);
  size_ = free_count_ = size;
  free_head_ = available_index_ = used_seen_ = 0;
  chain_length_ = {};
  for (std::uint16_t i = 0; i < size; ++i)
    next_[i] = i + 1 < size ? static_cast<std::uint16_t>(i + 1) : kNone;
  return {};
}

Pa Virtqueue::available_address() const { return *memory_ + size_ * sizeof(Descriptor); }

volatile std::uint16_t* Virtqueue::available() const {
  return reinterpret_cast<volatile std::uint16_t*>(descriptors() + size_);
}
volatile std::uint16_t* Virtqueue::used_index() const {
  return reinterpret_cast<volatile std::uint16_t*>(platform::frame_bytes(*memory_) + kPageSize) + 1;
}
volatile Virtqueue::UsedElement* Virtqueue::used_ring() const {
  return reinterpret_cast<volatile UsedElement*>(platform::frame_bytes(*memory_) + kPageSize +
                                                 2 * sizeof(std::uint16_t));
}

std::uint16_t Virtqueue::add(std::span<const Segment> segments) {
  ASSERT(!segments.empty() && segments.size() <= free_count_);
  const std::uint16_t head = free_head_;
  std::uint16_t current = head;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool last = i + 1 == segments.size();
    Descriptor& descriptor = descriptors()[current];
    descriptor.address = segments[i].address.value();
    descriptor.size = segments[i].size;
    descriptor.flags =
        static_cast<std::uint16_t>((segments[i].device_writes ? kDeviceWrites : 0) | (last ? 0 : kNext));
    descriptor.next = last ? std::uint16_t{0} : next_[current];
    if (last) {
      free_head_ = next_[current];
      next_[current] = kNone;
    } else {
      current = next_[current];
    }
  }
  chain_length_[head] = static_cast<std::uint16_t>(segments.size());
  free_count_ = static_cast<std::uint16_t>(free_count_ - segments.size());

  // The device may look at any time: ring entry before index, descriptors before both.
  available()[2 + available_index_ % size_] = head;
  std::atomic_thread_fence(std::memory_order_release);
  available()[1] = ++available_index_;
  return head;
}

std::expected<std::optional<Virtqueue::Finished>, Virtqueue::BrokenDevice> Virtqueue::take_finished() {
  const std::uint16_t produced = *used_index();
  const auto waiting = static_cast<std::uint16_t>(produced - used_seen_);
  if (waiting == 0) return std::nullopt;
  if (waiting > size_) return std::unexpected(BrokenDevice{});
  std::atomic_thread_fence(std::memory_order_acquire);
  const volatile UsedElement& element = used_ring()[used_seen_ % size_];
  const std::uint32_t head = element.head;
  const std::uint32_t length = element.length;
  if (head >= size_ || chain_length_[head] == 0) return std::unexpected(BrokenDevice{});
  ++used_seen_;

  std::uint16_t last = static_cast<std::uint16_t>(head);
  while (next_[last] != kNone) last = next_[last];
  next_[last] = free_head_;
  free_head_ = static_cast<std::uint16_t>(head);
  free_count_ = static_cast<std::uint16_t>(free_count_ + chain_length_[head]);
  chain_length_[head] = 0;
  return Finished{static_cast<std::uint16_t>(head), length};
}

}  // namespace faultline
