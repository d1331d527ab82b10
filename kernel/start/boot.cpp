// The first hart: device tree, console, memory, itself. The others: only themselves.

#include "kernel/start/boot.hpp"

#include <algorithm>
#include <array>

#include "kernel/dev/clock.hpp"
#include "kernel/dev/console.hpp"
#include "kernel/dev/plic.hpp"
#include "kernel/dev/power.hpp"
#include "kernel/dev/uart.hpp"
#include "kernel/lib/static_object.hpp"
#include "kernel/mm/memory_system.hpp"
#include "kernel/riscv/csr.hpp"
#include "kernel/riscv/image.hpp"
#include "kernel/riscv/layout.h"
#include "kernel/riscv/memory.hpp"
#include "kernel/riscv/memory_map.hpp"
#include "kernel/riscv/sbi.hpp"
#include "kernel/riscv/shootdown.hpp"
#include "kernel/riscv/timer.hpp"
#include "kernel/sched/interrupts.hpp"
#include "kernel/sched/scheduler.hpp"

namespace {

/// What a secondary hart reads in entry.S, by physical address, before it has a stack.
struct SecondaryStart {
  std::uint64_t satp;
  std::uint64_t stack_top;
  faultline::ThreadControl* thread;
};
static_assert(offsetof(SecondaryStart, satp) == SECONDARY_SATP &&
              offsetof(SecondaryStart, stack_top) == SECONDARY_STACK &&
              offsetof(SecondaryStart, thread) == SECONDARY_THREAD);

}  // namespace

extern "C" {
extern void (*const init_array_start[])();
extern void (*const init_array_end[])();
void trap_entry();
void secondary_entry();
[[noreturn]] void boot_main(std::uint64_t hardware_id, std::uint64_t device_tree, std::uint64_t image);
[[noreturn]] void secondary_main();
}

namespace faultline {

namespace {

constexpr std::size_t kLargestDeviceTree = 2 << 20;

StaticObject<Thread> boot_thread;
std::array<SecondaryStart, kMaxHarts> secondary_starts;

/// Whoever comes first decides whether a hart takes part: the hart itself, or the first hart that is tired of
/// waiting.
enum class Arrival : std::uint32_t { Awaited, Arrived, GivenUp };
std::array<std::atomic<Arrival>, kMaxHarts> arrivals{};

[[noreturn]] void refuse(std::string_view why) {
  print("faultline: {}\n", why);
  power_off(1);
}

void run_static_constructors() {
  for (auto* constructor = init_array_start; constructor != init_array_end; ++constructor) (*constructor)();
}

/// User mode is always entered with this sstatus, but for FS: SPP = 0 (to user mode), SPIE = 0 (supervisor
/// code runs with interrupts off, even after a trap), SUM = MXR = 0 (the kernel does not touch user
/// mappings).
void set_up_supervisor_state() {
  constexpr std::uint64_t kSie = 1 << 1, kSpie = 1 << 5, kSpp = 1 << 8, kSum = 1 << 18, kMxr = 1 << 19;
  csr::write_sscratch(0);
  csr::write_stvec(reinterpret_cast<std::uintptr_t>(&trap_entry));
  csr::clear_sstatus(kSie | kSpie | kSpp | kSum | kMxr | csr::kFpMask);
  constexpr std::uint64_t kCycleTimeInstret = 7;
  csr::write_scounteren(kCycleTimeInstret);
}

/// The device tree's bytes, through the provisional direct map.
fdt::Bytes device_tree_bytes(std::uint64_t address) {
  if (address % 8 != 0 || address > kDirectMapSize - kLargestDeviceTree)
    refuse("device tree at an impossible address");
  const auto* const start = reinterpret_cast<const std::byte*>(kDirectMap + address);
  const auto header = fdt::read_header(std::span<const std::byte, 40>(start, 40));
  if (!header) refuse(header.error());
  if (header->total_size > kLargestDeviceTree) refuse("device tree larger than 2 MiB");
  return fdt::Bytes(start, header->total_size);
}

/// Programs use F and D everywhere, so a hart that lacks them can run none.
void leave_out_harts_without_floating_point(std::uint64_t own_hardware_id) {
  constexpr const char* kReason = "no floating-point registers (extensions F and D)";
  auto& described = machine.harts;
  const auto left = std::remove_if(described.begin(), described.end(), [&](const HartDescription& hart) {
    if (hart.has_floating_point) return false;
    if (hart.hardware_id != own_hardware_id) {
      print("faultline: hart {} is left out: {}\n", hart.hardware_id, kReason);
      return true;
    }
    print("faultline: hart {} cannot run programs: {}\n", hart.hardware_id, kReason);
    power_off(1);
  });
  described.truncate(static_cast<std::size_t>(left - described.begin()));
}

/// Drivers sleep until their device interrupts: without a controller none would ever wake.
void require_interrupt_controller() {
  if (machine.plics.size() != 0) return;
  if (machine.unsupported_controller.empty()) refuse("device tree without an interrupt controller (PLIC)");
  print("faultline: interrupt controller {} is not supported, only a PLIC is\n",
        machine.unsupported_controller);
  power_off(1);
}

/// Numbers the harts: in ascending order of mhartid, the one that runs this always among them. Returns its
/// Hart.
Hart& number_harts(std::uint64_t own_hardware_id) {
  auto& described = machine.harts;
  leave_out_harts_without_floating_point(own_hardware_id);
  std::sort(described.begin(), described.end(),
            [](const auto& a, const auto& b) { return a.hardware_id < b.hardware_id; });
  const auto own = std::find_if(described.begin(), described.end(),
                                [&](const auto& hart) { return hart.hardware_id == own_hardware_id; });
  if (own == described.end()) refuse("device tree does not list the hart that runs the kernel");
  const std::size_t used = std::min<std::size_t>(described.size(), kMaxHarts);
  if (static_cast<std::size_t>(own - described.begin()) >= used) std::swap(*own, described[used - 1]);
  if (described.size() > used)
    print("faultline: the kernel uses {} harts; the board has {} more\n", used, described.size() - used);
  set_hart_count(static_cast<unsigned>(used));
  Hart* current = nullptr;
  for (std::size_t i = 0; i < used; ++i) {
    harts[i].id = static_cast<HartId>(i);
    harts[i].hardware_id = described[i].hardware_id;
    harts[i].interrupt_controller = described[i].interrupt_controller;
    if (harts[i].hardware_id == own_hardware_id) current = &harts[i];
  }
  return *current;
}

/// Makes `thread`, on whose stack this runs, the current one.
void adopt_thread(Thread& thread, Hart& hart) {
  thread.hart = &hart;
  thread.scheduling_state.store(Thread::State::Running);
  hart.idle = &thread;
  asm volatile("mv tp, %0" ::"r"(static_cast<ThreadControl*>(&thread)) : "memory");
}

void set_up_own_hart() {
  Hart& hart = Hart::current();
  timer::initialize_hart(machine.harts[static_cast<std::size_t>(hart.id)].has_sstc);
  plic::initialize_hart();
  interrupts::enable_on_this_hart();
  hart.online.store(true, std::memory_order_release);
}

/// Which bits of satp's ASID field the hart implements; they are the low ones (privileged
/// architecture 4.1.11).
unsigned probe_asid_bits() {
  csr::write_satp(kernel_satp() | csr::kSatpAsidMask);
  const std::uint64_t kept = csr::read_satp() & csr::kSatpAsidMask;
  csr::write_satp(kernel_satp());
  csr::fence_translations();
  return static_cast<unsigned>(std::popcount(kept));
}

void create_memory_system() {
  auto system = MemorySystem::create(kernel_root(), probe_asid_bits());
  if (!system) refuse("memory is too small");
  (void)system->release();  // it lives forever
}

/// Asks the firmware to let a hart begin at secondary_entry with its SecondaryStart.
sbi::Reply request_start(const Hart& hart) {
  const SecondaryStart& start = secondary_starts[static_cast<std::size_t>(hart.id)];
  return sbi::start_hart(hart.hardware_id,
                         physical_address(reinterpret_cast<const void*>(&secondary_entry)).value(),
                         physical_address(&start).value());
}

/// Asks the firmware to start a hart on an idle thread of its own.
void start_hart(Hart& hart) {
  auto stack = KernelStack::allocate();
  auto thread = stack ? make_ref<Thread>(std::move(*stack)) : Result<Ref<Thread>>(failure(stack.error()));
  if (!thread) {
    print("faultline: no memory for hart {}\n", hart.hardware_id);
    return;
  }
  Thread& idle = *thread->leak();
  format_into(idle.name, "idle");
  idle.hart = &hart;
  hart.idle = &idle;
  secondary_starts[static_cast<std::size_t>(hart.id)] = {kernel_satp(), idle.stack().top(), &idle};
  const sbi::Reply reply = request_start(hart);
  if (!reply.succeeded()) {
    print("faultline: hart {} does not start (SBI error {})\n", hart.hardware_id, reply.error);
    arrivals[static_cast<std::size_t>(hart.id)].store(Arrival::GivenUp);
  }
}

void await_hart(Hart& hart, Ticks deadline) {
  std::atomic<Arrival>& arrival = arrivals[static_cast<std::size_t>(hart.id)];
  while (!hart.online.load(std::memory_order_acquire)) {
    Arrival expected = Arrival::Awaited;
    if (arrival.load() == Arrival::GivenUp) return;
    if (clock::now() >= deadline && arrival.compare_exchange_strong(expected, Arrival::GivenUp)) {
      print("faultline: hart {} does not answer\n", hart.hardware_id);
      return;
    }
    // It went astray (entry.S) and has stopped again.
    if (sbi::hart_is_stopped(hart.hardware_id)) (void)request_start(hart);
    cpu_relax();
  }
}

}  // namespace

void start_other_harts() {
  for (unsigned i = 0; i < hart_count(); ++i) {
    if (&harts[i] != &Hart::current()) start_hart(harts[i]);
  }
  constexpr std::uint64_t kPatienceSeconds = 10;
  const Ticks deadline = clock::now() + Ticks(kPatienceSeconds * clock::ticks_per_second());
  for (unsigned i = 0; i < hart_count(); ++i) {
    if (&harts[i] != &Hart::current() && harts[i].idle != nullptr) await_hart(harts[i], deadline);
  }
}

}  // namespace faultline

using namespace faultline;

void boot_main(std::uint64_t hardware_id, std::uint64_t device_tree, std::uint64_t image) {
  run_static_constructors();
  set_up_supervisor_state();
  const fdt::Bytes blob = device_tree_bytes(device_tree);
  const auto described = describe_machine(blob, machine);
  if (!described) refuse(described.error());
  if (machine.uart) uart::initialize(*machine.uart);
  require_interrupt_controller();

  Hart& hart = number_harts(hardware_id);
  adopt_thread(boot_thread.construct(KernelStack::from_image(address_of(boot_stack_top))), hart);
  format_into(boot_thread->name, "idle");
  memory::initialize(machine, {image, image + (address_of(image_end) - address_of(image_start))},
                     {device_tree, device_tree + blob.size()});
  clock::initialize(machine);
  shootdown::initialize(machine);
  plic::initialize(machine);
  set_up_own_hart();
  create_memory_system();
  kernel_main();
}

void secondary_main() {
  set_up_supervisor_state();
  Thread& thread = Thread::current();
  Hart& hart = *thread.hart;
  csr::fence_translations();
  thread.scheduling_state.store(Thread::State::Running);
  Arrival expected = Arrival::Awaited;
  std::atomic<Arrival>& arrival = arrivals[static_cast<std::size_t>(hart.id)];
  if (!arrival.compare_exchange_strong(expected, Arrival::Arrived)) {
    for (;;) csr::wait_for_interrupt();
  }
  set_up_own_hart();
  scheduler::run_idle_loop();
}
