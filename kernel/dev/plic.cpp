#include "kernel/dev/plic.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "kernel/dev/console.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/mm/platform.hpp"
#include "kernel/riscv/device_register.hpp"
#include "kernel/riscv/hart.hpp"
#include "kernel/riscv/machine.hpp"
#include "kernel/riscv/memory_map.hpp"

namespace faultline::plic {

namespace {

// Register blocks, by byte offset (PLIC specification 1.0.0, chapter 3).
constexpr std::uint64_t kEnables = 0x2000, kEnablesPerContext = 0x80;
constexpr std::uint64_t kContexts = 0x20'0000, kPerContext = 0x1000;
constexpr std::uint64_t kThreshold = 0, kClaim = 4;
constexpr std::uint32_t kMaxSources = 1024;
constexpr std::uint32_t kSupervisorExternal = 9;

SpinLock lock{LockRank::Device};

/// A PLIC. The members up to `contexts` are written by start-up only.
class Controller {
 public:
  void describe(const InterruptTarget& description) {
    base_ = description.registers.start;
    phandle_ = description.phandle;
    source_count_ = std::min(description.sources, kMaxSources - 1);
    for (unsigned hart = 0; hart < hart_count(); ++hart) find_context(description, hart);
  }

  std::uint32_t phandle() const { return phandle_; }

  void initialize_hart(HartId hart) {
    const HartContext& context = contexts_[static_cast<std::size_t>(hart)];
    if (!context.exists) return;
    for (std::uint32_t source = 0; source <= source_count_; source += 32)
      write_register(enables(context, source), std::uint32_t{0});
    write_register(word(kContexts + context.number * kPerContext + kThreshold), std::uint32_t{0});
  }

  /// False when the controller has no such source, reaches no hart, or the source has a handler.
  bool add(std::uint32_t source, InterruptHandler& handler, const SpinGuard&) {
    if (source == 0 || source > source_count_ || handlers_[source] != nullptr) return false;
    const HartContext* const context = next_context();
    if (context == nullptr) return false;
    handlers_[source] = &handler;
    write_register(word(source * sizeof(std::uint32_t)), std::uint32_t{1});  // priority
    volatile std::uint32_t* const enabled = enables(*context, source);
    write_register(enabled, read_register(enabled) | 1u << source % 32);
    return true;
  }

  void serve(HartId hart) {
    const HartContext& context = contexts_[static_cast<std::size_t>(hart)];
    if (!context.exists) return;
    volatile std::uint32_t* const claim = word(kContexts + context.number * kPerContext + kClaim);
    while (const std::uint32_t source = read_register(claim)) {
      if (source < kMaxSources && handlers_[source] != nullptr) handlers_[source]->on_interrupt();
      write_register(claim, source);
    }
  }

 private:
  struct HartContext {
    std::uint64_t number = 0;
    bool exists = false;
  };

  volatile std::uint32_t* word(std::uint64_t offset) const {
    return reinterpret_cast<volatile std::uint32_t*>(mmio(Pa::checked(base_ + offset)));
  }
  volatile std::uint32_t* enables(const HartContext& context, std::uint32_t source) const {
    return word(kEnables + context.number * kEnablesPerContext + std::uint64_t{source} / 32 * 4);
  }

  /// The harts take turns; one that the controller does not reach is left out.
  const HartContext* next_context() {
    for (unsigned tried = 0; tried < hart_count(); ++tried) {
      const unsigned hart = next_hart_++ % hart_count();
      if (contexts_[hart].exists && harts[hart].online.load()) return &contexts_[hart];
    }
    return nullptr;
  }

  void find_context(const InterruptTarget& description, unsigned hart) {
    for (std::size_t number = 0; number < description.contexts.size(); ++number) {
      const InterruptContext& entry = description.contexts[number];
      if (entry.cause != kSupervisorExternal || entry.controller != harts[hart].interrupt_controller)
        continue;
      if (kContexts + (number + 1) * kPerContext > description.registers.size()) continue;
      contexts_[hart] = {number, true};
    }
  }

  std::uint64_t base_ = 0;
  std::uint32_t phandle_ = 0;
  std::uint32_t source_count_ = 0;
  std::array<HartContext, kMaxHarts> contexts_{};
  unsigned next_hart_ = 0;  // under lock
  std::array<InterruptHandler*, kMaxSources>
      handlers_{};  // set once, under lock, before the source is enabled
};

std::array<Controller, Machine::kMaxSockets> all_controllers;
std::span<Controller> controllers;  // those that the board has

/// Where the device tree does not say which, it is the only one.
Controller* find(std::uint32_t phandle) {
  for (Controller& controller : controllers) {
    if (controller.phandle() == phandle || (phandle == 0 && controllers.size() == 1)) return &controller;
  }
  return nullptr;
}

}  // namespace

void initialize(const Machine& machine) {
  controllers = std::span(all_controllers).first(machine.plics.size());
  for (std::size_t i = 0; i < controllers.size(); ++i) controllers[i].describe(machine.plics[i]);
}

void initialize_hart() {
  for (Controller& controller : controllers) controller.initialize_hart(platform::current_hart());
}

void register_handler(const InterruptSource& source, InterruptHandler& handler) {
  SpinGuard guard(lock);
  Controller* const controller = find(source.controller);
  if (controller != nullptr && controller->add(source.number, handler, guard)) return;
  print("faultline: interrupt source {} cannot be used\n", source.number);
}

void handle_interrupts() {
  for (Controller& controller : controllers) controller.serve(platform::current_hart());
}

}  // namespace faultline::plic
