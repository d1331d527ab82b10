#pragma once
// Small objects: what the kernel's heap_allocate is made of.
//
// Size classes from 16 to 2048 bytes; an object larger than that is a block of frames. A slab is one frame of
// equal objects. Its bookkeeping stands in the frame's FrameInfo (table_lock: first free object and objects
// in use; tag: links to other slabs with room), so that objects are packed from the frame's first byte and
// aligned by their size. In front of the slabs each hart has a small magazine for each class, whose lock no
// other hart takes but in trim(). A slab whose last object is freed goes back.

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "kernel/lib/spin_lock.hpp"
#include "kernel/mm/hart_local.hpp"

namespace faultline {

class SlabAllocator {
 public:
  /// `frame_of`: the frame that holds a byte of the direct map (the inverse of platform::frame_bytes).
  explicit SlabAllocator(Pa (*frame_of)(const void*));
  SlabAllocator(const SlabAllocator&) = delete;
  SlabAllocator& operator=(const SlabAllocator&) = delete;

  /// As heap_allocate and heap_release (lib/heap.hpp).
  [[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment);
  void release(void* memory, std::size_t bytes, std::size_t alignment);

  /// Empties the magazines of all harts, so that only slabs with objects in use keep their frames.
  void trim();

  /// Frames that slabs and large objects occupy.
  std::size_t frames_in_use() const;

  /// What one size class holds. Objects in a magazine count as in use: trim() first for the exact number.
  struct ClassUse {
    std::size_t object_bytes, objects_in_use, slabs;
  };
  /// Nothing past the last class; classes ascend by their objects' size.
  std::optional<ClassUse> class_use(std::size_t size_class);

 private:
  static constexpr std::array<std::uint16_t, 13> kSizes = {16,  32,  48,  64,  96,   128, 192,
                                                           256, 384, 512, 768, 1024, 2048};
  static constexpr std::size_t kClasses = kSizes.size();
  static constexpr std::size_t kMagazine = 16;

  /// Names a slab; kNoSlab: none.
  using Link = std::uint32_t;
  static constexpr Link kNoSlab = 0;

  struct SizeClass {
    SpinLock lock{LockRank::Heap};
    Link first_with_room = kNoSlab;
    std::size_t slabs = 0, objects_in_use = 0;
  };
  struct Magazine {
    std::uint32_t count = 0;
    std::array<void*, kMagazine> objects;
  };
  struct HartMagazines {
    SpinLock lock{LockRank::HeapMagazine};  // the hart's own, but for trim()
    std::array<Magazine, kClasses> magazines;
  };

  static std::optional<std::size_t> class_for(std::size_t bytes, std::size_t alignment);
  static unsigned order_for(std::size_t bytes);
  std::size_t take(std::size_t size_class, std::span<void*> out);
  void give_back(std::size_t size_class, std::span<void* const> objects);

  Link link_of(Pa frame);
  Pa frame_at(Link link) const;
  void push_slab(SizeClass& sizes, Pa frame);
  void unlink_slab(SizeClass& sizes, Pa frame);

  Pa (*frame_of_)(const void*);
  std::atomic<std::uint64_t> link_base_ = 0;  // set once, by the first slab of all
  std::array<SizeClass, kClasses> classes_;
  HartLocal<HartMagazines> magazines_;
  std::atomic<std::size_t> frames_ = 0;
};

}  // namespace faultline
