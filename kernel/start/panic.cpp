// The end of the road: stop the other harts, say what happened, power off with a failing status.
//
// There is one way here, a trap from supervisor mode (trap.S, trap_from_kernel): a bug faults, and panic()
// executes ebreak. It runs on a stack of its own, since an overflowing kernel stack is one of the bugs, takes
// no lock, since the hart that holds it may be stopped, and writes to the UART by polling.

#include "kernel/lib/panic.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "kernel/dev/console.hpp"
#include "kernel/dev/power.hpp"
#include "kernel/riscv/csr.hpp"
#include "kernel/riscv/image.hpp"
#include "kernel/riscv/shootdown.hpp"
#include "kernel/riscv/trap_frame.hpp"
#include "kernel/sched/thread.hpp"

extern "C" {
void panic_trap(const char* message, const char* file, std::uint64_t line);
[[noreturn]] void handle_kernel_trap(const faultline::TrapFrame& frame, std::uint64_t cause,
                                     std::uint64_t value);
[[noreturn]] void handle_trap_while_panicking();

// Written by symbols.py, ordered by address.
struct Symbol {
  std::uint64_t address;
  std::uint32_t name;
  std::uint32_t zero;
};
extern const Symbol faultline_symbols_begin[], faultline_symbols_end[];
extern const char faultline_symbol_names[];

// Which thread's hart reports; trap.S compares it with tp.
void* panicking_thread = nullptr;
}

namespace faultline {

namespace {

constexpr std::uint16_t kPanicStatus = 1;

/// What began it, kept before the report is tried: the report may trap before it has said so.
struct FirstTrap {
  std::uint64_t pc = 0, cause = 0, value = 0;
  const char* message = nullptr;  // of panic()
};
FirstTrap first_trap;

struct Place {
  std::string_view function;
  std::uint64_t offset;
};

Place place_of(std::uint64_t address) {
  const Symbol* first = faultline_symbols_begin;
  const Symbol* last = faultline_symbols_end;
  while (first != last) {
    const Symbol* const middle = first + (last - first) / 2;
    if (middle->address <= address) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  if (first == faultline_symbols_begin || address >= address_of(rodata_start)) return {"?", 0};
  --first;
  return {faultline_symbol_names + first->name, address - first->address};
}

void print_place(TextSink& out, std::uint64_t address) {
  const Place place = place_of(address);
  format_to(out, "  {:#018x} {}+{:#x}\n", address, place.function, place.offset);
}

/// The calling convention with frame pointers: s0 is the caller's stack pointer at the call; below it lie the
/// return address and the caller's s0. Frames only go up within one stack; anything else ends the walk.
void print_backtrace(TextSink& out, std::uint64_t address, std::uint64_t frame, const KernelStack* stack) {
  out.write("backtrace (addr2line -e kernel.elf):\n");
  print_place(out, address);
  constexpr int kMaxFrames = 64;
  for (int i = 0; i < kMaxFrames; ++i) {
    if (stack == nullptr || frame % 8 != 0 || !stack->contains(frame - 16)) return;
    const auto* const words = reinterpret_cast<const std::uint64_t*>(frame);
    const std::uint64_t caller = words[-1], next = words[-2];
    if (caller == 0) return;
    // A return address points behind the call, which may already belong to the next function.
    print_place(out, caller - 4);
    if (next <= frame) return;
    frame = next;
  }
}

std::string_view describe_cause(std::uint64_t cause) {
  switch (static_cast<csr::Cause>(cause)) {
    case csr::Cause::InstructionMisaligned:
      return "misaligned jump";
    case csr::Cause::InstructionAccess:
      return "instruction access fault";
    case csr::Cause::IllegalInstruction:
      return "illegal instruction";
    case csr::Cause::Breakpoint:
      return "breakpoint";
    case csr::Cause::LoadMisaligned:
      return "misaligned load";
    case csr::Cause::LoadAccess:
      return "load access fault";
    case csr::Cause::StoreMisaligned:
      return "misaligned store";
    case csr::Cause::StoreAccess:
      return "store access fault";
    case csr::Cause::InstructionPageFault:
      return "instruction page fault";
    case csr::Cause::LoadPageFault:
      return "load page fault";
    case csr::Cause::StorePageFault:
      return "store page fault";
    default:
      return "unexpected trap";
  }
}

void print_registers(TextSink& out, const TrapFrame& frame, std::uint64_t cause, std::uint64_t value) {
  constexpr std::array<const char*, 32> kNames = {
      "pc", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0",  "a1",  "a2", "a3", "a4", "a5",
      "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
  const auto* const values = reinterpret_cast<const std::uint64_t*>(&frame);
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    format_to(out, "{:>5} {:#018x}{}", kNames[i], values[i], i % 4 == 3 ? "\n" : "");
  }
  format_to(out, "scause {:#x}  stval {:#x}  sstatus {:#x}  satp {:#x}\n", cause, value, csr::read_sstatus(),
            csr::read_satp());
}

void stop_other_harts() {
  for (unsigned i = 0; i < hart_count(); ++i) {
    if (&harts[i] == &Hart::current() || !harts[i].online.load()) continue;
    harts[i].state.fetch_or(hart_state::kStop);
    shootdown::interrupt_hart(harts[i]);
  }
}

}  // namespace

[[gnu::noinline]] void panic(const char* message, std::source_location where) {
  panic_trap(message, where.file_name(), where.line());
  __builtin_unreachable();
}

}  // namespace faultline

using namespace faultline;

void handle_kernel_trap(const TrapFrame& frame, std::uint64_t cause, std::uint64_t value) {
  panicking_thread = reinterpret_cast<void*>(frame.tp);
  const bool from_panic = frame.pc == reinterpret_cast<std::uintptr_t>(&panic_trap);
  first_trap = {frame.pc, cause, value, from_panic ? reinterpret_cast<const char*>(frame.a0) : nullptr};
  TextSink& out = console::panic_sink();
  const Thread* thread = nullptr;
  if (frame.tp != 0) {
    thread = &Thread::current();
    stop_other_harts();
    format_to(out, "\nfaultline: panic on hart {}", Hart::current().hardware_id);
  } else {
    out.write("\nfaultline: panic before the first thread");
  }
  if (from_panic) {
    format_to(out, ": {}\n  at {}:{}\n", reinterpret_cast<const char*>(frame.a0),
              reinterpret_cast<const char*>(frame.a1), frame.a2);
  } else if (thread != nullptr && value - (thread->stack().top() - 2 * kKernelStackSize) < kKernelStackSize) {
    format_to(out, ": kernel stack overflow ({} at {:#x})\n", describe_cause(cause), value);
  } else {
    format_to(out, ": {} at {:#x}\n", describe_cause(cause), value);
  }
  if (thread != nullptr)
    format_to(out, "thread {} \"{}\"\n", thread->id, static_cast<const char*>(thread->name));
  print_registers(out, frame, cause, value);
  print_backtrace(out, frame.pc, frame.s0, thread != nullptr ? &thread->stack() : nullptr);
  power_off(kPanicStatus);
}

/// The report itself has trapped: nothing is left to trust. What began it is told from numbers first; should
/// the message trap as well, that is the end.
void handle_trap_while_panicking() {
  static unsigned attempts = 0;
  if (attempts++ == 0) {
    TextSink& out = console::panic_sink();
    format_to(out, "\nfaultline: panic while panicking; the first: {} at pc {:#x}, stval {:#x}",
              describe_cause(first_trap.cause), first_trap.pc, first_trap.value);
    if (first_trap.message != nullptr) format_to(out, ": {}", first_trap.message);
    out.write("\n");
  }
  power_off(kPanicStatus);
}
