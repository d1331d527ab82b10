#include "kernel/dev/plic.hpp"

#include <array>
#include <cstddef>

#include "kernel/dev/console.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/mm/platform.hpp"
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

std::uint64_t base = 0;  // 0: no controller
std::uint32_t source_count = 0;
struct HartContext {
  std::uint64_t number = 0;
  bool exists = false;
};
std::array<HartContext, kMaxHarts> contexts;

SpinLock lock{LockRank::Device};
std::array<InterruptHandler*, kMaxSources> handlers{};  // entries are set once, before the source is enabled
unsigned next_hart = 0;

volatile std::uint32_t& word(std::uint64_t offset) {
  return *reinterpret_cast<volatile std::uint32_t*>(mmio(Pa::checked(base + offset)));
}

volatile std::uint32_t& claim_register(const HartContext& context) {
  return word(kContexts + context.number * kPerContext + kClaim);
}

/// The harts take turns; one that the controller does not reach is left out.
const HartContext* next_context() {
  for (unsigned tried = 0; tried < hart_count(); ++tried) {
    const unsigned hart = next_hart++ % hart_count();
    if (contexts[hart].exists && harts[hart].online.load()) return &contexts[hart];
  }
  return nullptr;
}

void find_context(const InterruptTarget& controller, unsigned hart) {
  for (std::size_t number = 0; number < controller.contexts.size(); ++number) {
    const InterruptContext& entry = controller.contexts[number];
    if (entry.cause != kSupervisorExternal || entry.controller != harts[hart].interrupt_controller) continue;
    if (kContexts + (number + 1) * kPerContext > controller.registers.size()) continue;
    contexts[hart] = {number, true};
  }
}

}  // namespace

void initialize(const Machine& machine) {
  if (!machine.plic) return;
  base = machine.plic->registers.start;
  source_count = machine.plic->sources < kMaxSources ? machine.plic->sources : kMaxSources - 1;
  for (unsigned hart = 0; hart < hart_count(); ++hart) find_context(*machine.plic, hart);
}

void initialize_hart() {
  const HartContext& context = contexts[static_cast<std::size_t>(platform::current_hart())];
  if (!context.exists) return;
  for (std::uint32_t source = 0; source <= source_count; source += 32) {
    word(kEnables + context.number * kEnablesPerContext + source / 8) = 0;
  }
  word(kContexts + context.number * kPerContext + kThreshold) = 0;
}

void register_handler(std::uint32_t source, InterruptHandler& handler) {
  SpinGuard guard(lock);
  const HartContext* const context =
      base != 0 && source != 0 && source <= source_count ? next_context() : nullptr;
  if (context == nullptr || handlers[source] != nullptr) {
    print("faultline: interrupt source {} cannot be used\n", source);
    return;
  }
  handlers[source] = &handler;
  word(source * sizeof(std::uint32_t)) = 1;  // priority
  volatile std::uint32_t& enables =
      word(kEnables + context->number * kEnablesPerContext + std::uint64_t{source} / 32 * 4);
  enables = enables | 1u << source % 32;
}

void handle_interrupts() {
  const HartContext& context = contexts[static_cast<std::size_t>(platform::current_hart())];
  if (!context.exists) return;
  while (const std::uint32_t source = claim_register(context)) {
    if (source < kMaxSources && handlers[source] != nullptr) handlers[source]->on_interrupt();
    claim_register(context) = source;
  }
}

}  // namespace faultline::plic
