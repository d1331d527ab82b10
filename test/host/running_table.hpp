#pragma once
// A page table by itself, without a pager, and accesses to it by the harts.

#include "kernel/mm/page_table.hpp"
#include "test/host/world.hpp"

namespace faultline::sim {

inline Frame frame_with(std::uint8_t byte) {
  Frame frame = *Frame::allocate(FrameContents::Zeroed);
  frame.bytes()[0] = std::byte{byte};
  return frame;
}

inline VaRange pages_from(Va start, std::uint64_t pages) { return VaRange(start, start + pages * kPageSize); }

/// A page table that hart 0 runs.
class Running {
 public:
  explicit Running(World& world) : world_(world), table(*PageTable::create()) {
    world.run(hart_id(0), table.space());
  }
  ~Running() { world_.leave_everywhere(table.space()); }

  std::expected<std::uint64_t, PageFault> access(Va va, Access access = Access::Read,
                                                 std::uint64_t value = 0) {
    return world_.machine.hart(hart_id(0)).access(va, access, 1, value);
  }

 private:
  World& world_;

 public:
  PageTable table;
};

}  // namespace faultline::sim
