#pragma once
// A machine with a running memory core: what nearly every test case starts from.

#include <algorithm>
#include <array>

#include "kernel/mm/memory_system.hpp"
#include "kernel/mm/page_table.hpp"
#include "kernel/mm/tlb.hpp"
#include "test/host/machine/machine.hpp"

namespace faultline::sim {

class World {
 public:
  static constexpr unsigned kAsidBits = 16;

  explicit World(std::size_t frames = Machine::kDefaultFrames, unsigned asid_bits = kAsidBits)
      : machine(frames), system_(*MemorySystem::create(std::nullopt, asid_bits)) {
    entries_copied_at_fork = 16;
    frames_at_start = machine.frames_in_use();
    objects_at_start = machine.objects_in_use();
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    for (unsigned i = 0; i < kMaxHarts; ++i) leave(hart_id(i));
    check_zero_page();
  }

  /// Makes the hart run the space, as a context switch does. Reports translations that the switch should have
  /// flushed.
  void run(HartId id, Space& space) {
    leave(id);
    OnHart here(id);
    Hart& hart = machine.hart(id);
    const Activation activation = space.activate(id);
    hart.write_satp(Satp{activation.asid, activation.root});
    switch (activation.flush) {
      case Activation::Flush::Nothing:
        break;
      case Activation::Flush::Space:
        hart.fence({activation.asid, std::nullopt});
        break;
      case Activation::Flush::Everything:
        hart.fence_everything();
        break;
    }
    running_[static_cast<unsigned>(id)] = &space;
    if (check_switches) hart.check_coherence();
  }

  /// Makes the hart run no space.
  void leave(HartId id) {
    Space*& space = running_[static_cast<unsigned>(id)];
    if (space == nullptr) return;
    OnHart here(id);
    machine.hart(id).write_satp(std::nullopt);
    space->deactivate(id);
    space = nullptr;
  }

  Space* running(HartId id) const { return running_[static_cast<unsigned>(id)]; }

  /// Takes a space away from every hart, so that it can die.
  void leave_everywhere(Space& space) {
    for (unsigned i = 0; i < kMaxHarts; ++i) {
      if (running_[i] == &space) leave(hart_id(i));
    }
  }

  MemorySystem& system() { return *system_; }
  std::size_t frames_used() const { return machine.frames_in_use() - frames_at_start; }
  std::size_t objects_used() const { return machine.objects_in_use() - objects_at_start; }

  void check_zero_page() const {
    const std::byte* bytes = platform::frame_bytes(system_->zero_page());
    if (!std::all_of(bytes, bytes + kPageSize, [](std::byte b) { return b == std::byte{0}; })) {
      report_failure("the zero page has been written");
    }
  }

  Machine machine;
  std::size_t frames_at_start = 0;
  std::size_t objects_at_start = 0;
  /// Off where other harts change the space during a switch.
  bool check_switches = true;

 private:
  std::array<Space*, kMaxHarts> running_{};
  Box<MemorySystem> system_;
};

}  // namespace faultline::sim
