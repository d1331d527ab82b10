#pragma once
// What all address spaces of one machine share: the kernel half of their root tables, the zero page, the
// ASIDs.

#include <optional>

#include "kernel/lib/heap.hpp"
#include "kernel/mm/asid.hpp"
#include "kernel/mm/frame.hpp"

namespace faultline {

/// Exists once per machine: created before the first PageTable, destroyed (by host tests only) after the
/// last.
class MemorySystem {
 public:
  /// `kernel_root`: the root table whose upper 256 entries every new space copies; nothing where there is no
  /// kernel half (host). `asid_bits`: as satp implements. Error: OutOfMemory.
  [[nodiscard]] static Result<Box<MemorySystem>> create(std::optional<Pa> kernel_root, unsigned asid_bits);

  MemorySystem(const MemorySystem&) = delete;
  MemorySystem& operator=(const MemorySystem&) = delete;
  ~MemorySystem();

  /// The one that exists; panics when there is none.
  static MemorySystem& current() noexcept {
    MemorySystem* const system = the_one_.load(std::memory_order_acquire);
    ASSERT(system != nullptr);
    return *system;
  }

  std::optional<Pa> kernel_root() const noexcept { return kernel_root_; }
  AsidAllocator& asids() noexcept { return asids_; }

  /// The frame of zeroes that read faults on untouched memory map. Never written, never freed, never counted.
  Pa zero_page() const noexcept { return zero_page_.pa(); }

 private:
  template <class T, class... Arguments>
  friend Result<Box<T>> make_box(Arguments&&... arguments);
  MemorySystem(Frame zero_page, std::optional<Pa> kernel_root, unsigned asid_bits) noexcept;

  static std::atomic<MemorySystem*> the_one_;

  Frame zero_page_;
  std::optional<Pa> kernel_root_;
  AsidAllocator asids_;
};

}  // namespace faultline
