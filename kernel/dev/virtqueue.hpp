#pragma once
// A split virtqueue (virtio 1.2, section 2.7): the memory that driver and device share.
//
//     descriptors   tell where buffers are; chained into requests     written by the driver
//     available     heads of chains the device may work on            written by the driver
//     used          heads of chains the device is done with           written by the device
//
// The device is not trusted: what it writes is read once, checked against a private copy of who owns which
// descriptor, and never used as an address. A device that breaks the rules is reported as broken and stopped.
//
// Portable: where the frames are and how the device is told stands in platform.hpp and virtio_mmio.hpp.

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>

#include "kernel/lib/result.hpp"
#include "kernel/mm/platform.hpp"

namespace faultline {

class Virtqueue {
 public:
  static constexpr std::uint16_t kMaxSize = 128;

  /// A buffer of a request, physically contiguous.
  struct Segment {
    Pa address = Pa::checked(0);
    std::uint32_t size = 0;
    bool device_writes = false;
  };
  /// A request that the device has finished.
  struct Finished {
    std::uint16_t head;    // as returned by add()
    std::uint32_t length;  // bytes that the device claims to have written: not to be trusted
  };
  struct BrokenDevice {};

  Virtqueue() = default;
  Virtqueue(const Virtqueue&) = delete;
  Virtqueue& operator=(const Virtqueue&) = delete;
  ~Virtqueue();

  /// Allocates the shared memory for `size` descriptors, a power of two of at most kMaxSize. Error:
  /// OutOfMemory.
  [[nodiscard]] Result<> allocate(std::uint16_t size);

  std::uint16_t size() const { return size_; }
  std::uint16_t free_descriptors() const { return free_count_; }
  /// What add() is going to return. There are free descriptors.
  std::uint16_t next_head() const { return free_head_; }

  // Where the device finds the parts. They lie in one block, used at a page of its own: the legacy layout
  // too.
  Pa descriptors_address() const { return *memory_; }
  Pa available_address() const;
  Pa used_address() const { return *memory_ + kPageSize; }

  /// Makes a request available to the device, which must be notified afterwards. There are enough free
  /// descriptors and at least one segment; those that the device writes come last. Returns its head.
  std::uint16_t add(std::span<const Segment> segments);

  /// The next request that the device has finished, if any; its descriptors are free again.
  std::expected<std::optional<Finished>, BrokenDevice> take_finished();

 private:
  struct Descriptor {
    std::uint64_t address;
    std::uint32_t size;
    std::uint16_t flags;
    std::uint16_t next;
  };
  struct UsedElement {
    std::uint32_t head;
    std::uint32_t length;
  };
  static constexpr std::uint16_t kNext = 1, kDeviceWrites = 2;
  static constexpr std::uint16_t kNone = 0xffff;
  static constexpr unsigned kBlockOrder = 1;

  Descriptor* descriptors() const { return reinterpret_cast<Descriptor*>(platform::frame_bytes(*memory_)); }
  volatile std::uint16_t* available() const;
  volatile std::uint16_t* used_index() const;
  volatile UsedElement* used_ring() const;

  std::uint16_t size_ = 0;
  std::uint16_t free_count_ = 0;
  std::uint16_t free_head_ = kNone;
  std::uint16_t available_index_ = 0;
  std::uint16_t used_seen_ = 0;
  std::optional<Pa> memory_;
  // Our own copy of the chains: the descriptors could be changed behind us.
  std::array<std::uint16_t, kMaxSize> next_ = {};
  std::array<std::uint16_t, kMaxSize> chain_length_ = {};  // of the request with this head; 0: none in flight
};

}  // namespace faultline
