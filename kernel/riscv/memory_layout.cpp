#include <algorithm>

#include "kernel/riscv/memory.hpp"
#include "kernel/riscv/memory_map.hpp"

namespace faultline::memory {

namespace {

using Ranges = BoundedList<PaRange, 64>;

/// `ranges` without the pages that `hole` touches.
Ranges without(const Ranges& ranges, PaRange hole) {
  const std::uint64_t start = page_floor(hole.start);
  const std::uint64_t end = page_ceiling(hole.end).value_or(UINT64_MAX);
  Ranges left;
  for (const PaRange& range : ranges) {
    if (end <= range.start || range.end <= start) {
      left.add(range);
      continue;
    }
    if (range.start < start) left.add({range.start, start});
    if (end < range.end) left.add({end, range.end});
  }
  return left;
}

/// How far memory reaches from an address on without a gap, in however many ranges; the address itself where
/// there is none.
std::uint64_t end_of_memory(const Machine& machine, std::uint64_t from) {
  std::uint64_t end = from;
  for (bool grown = true; grown;) {
    grown = false;
    for (const PaRange& memory : machine.memory) {
      if (!memory.contains(end)) continue;
      end = memory.end;
      grown = true;
    }
  }
  return end;
}

}  // namespace

bool find_layout(const Machine& machine, PaRange image, PaRange device_tree, Layout& layout) {
  const std::uint64_t end = end_of_memory(machine, image.start);
  if (end < image.end || end == image.start) return false;
  // What lies below the image is the firmware's, whether the device tree says so or not.
  layout.managed = {image.start, page_floor(std::min(end, kDirectMapSize))};
  if (layout.managed.end <= layout.managed.start) return false;
  Ranges usable;
  usable.add(layout.managed);
  for (const PaRange& reserved : machine.reserved) {
    // Firmware lists the device tree itself as reserved; it has to stay mapped.
    if (device_tree.start <= reserved.start && reserved.end <= page_ceiling(device_tree.end)) continue;
    usable = without(usable, reserved);
  }
  layout.mapped = usable;
  layout.free = without(without(usable, image), device_tree);
  // Every hole was punched into an ascending list, so the lists are ascending; a dropped piece would be lost
  // memory or, worse, unmapped device tree.
  return layout.free.size() != 0 && layout.mapped.dropped() == 0 && layout.free.dropped() == 0;
}

}  // namespace faultline::memory
