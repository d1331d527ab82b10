// TLB shootdown. One hart has changed a page table; others must not use old translations of it any more.
//
// Without software-interrupt registers the firmware does it (SBI RFENCE): it interrupts the targets in
// machine mode, whatever they do. With them (ACLINT SSWI), harts pass requests among themselves:
//
//   slots[t][i]   the request of initiator i to target t: empty, a request, or "serving"
//   Hart::state   of t: kFence says that one of its slots has a request, kUserMode that it runs a program
//
//   initiator i                                     target t
//   1  slot := request                              A  kernel entry: clear kUserMode (release)
//   2  old = state.fetch_or(kFence)                 B  leaving: old = state.fetch_or(kUserMode)
//   3  if old says user mode: interrupt t           C  if old has kFence: clear kUserMode, serve, try again
//   4  wait until the slot is empty,
//      or, for a page range, t is in the kernel
//
//   serve: clear kFence; for each slot: request -> serving, sfence.vma, serving -> empty
//
// All are sequentially consistent operations on t's one word (A may be weaker, see there). No request is
// missed: a slot is filled before kFence is set, and kFence is cleared before the slots are read.
//
// Why the wait may end early (4, second half). The kernel touches user memory only through the direct map,
// never through user translations. So a target that is in the kernel uses no stale user entry until it
// returns to user mode; and if the initiator sees kUserMode clear after 2, the target's next B comes later in
// the order of that word than 2, sees kFence, and serves before the program runs. A is a release, so the
// program's last loads and stores were performed before the initiator saw the bit clear. The target thus
// cannot delay the initiator, however long its system call takes.
//
// That is enough for leaf entries. It is not where tables were taken away (a scope without a range): a walker
// may use a stale non-leaf entry speculatively even in the kernel, and would read, or set an A bit in, a
// frame that is a table no more. Then the initiator waits for the fence itself; the target serves it in
// cpu_relax, at preemption points, when idle and when it leaves the kernel.
//
// Two harts that shoot at each other: each serves its own slots while it waits (cpu_relax).

#include "kernel/riscv/shootdown.hpp"

#include <array>
#include <atomic>

#include "kernel/lib/panic.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/riscv/csr.hpp"
#include "kernel/riscv/device_register.hpp"
#include "kernel/riscv/memory_map.hpp"
#include "kernel/riscv/sbi.hpp"

namespace faultline {

namespace {

/// A request packed into one word, so that target and initiator pass it with single atomic operations.
class Request {
 public:
  static constexpr std::uint64_t kEmpty = 0, kServing = 1;

  explicit Request(std::uint64_t word) : word_(word) {}
  static std::uint64_t whole_space(Asid asid) { return kRequest | asid_bits(asid); }
  static std::uint64_t everything() { return kRequest | kAllSpaces; }
  static std::uint64_t from(const FenceScope& scope) {
    if (!scope.range) return whole_space(scope.asid);
    const std::uint64_t first = scope.range->start().value() >> kPageShift;
    const std::uint64_t pages = ((scope.range->end().value() + kPageSize - 1) >> kPageShift) - first;
    if (pages == 0 || pages >= kPagesLimit) return whole_space(scope.asid);
    return kRequest | asid_bits(scope.asid) | pages << kPagesShift | first << kFirstShift;
  }

  void carry_out() const {
    const std::uint64_t asid = word_ >> kAsidShift & 0xffff;
    const std::uint64_t pages = word_ >> kPagesShift & (kPagesLimit - 1);
    if ((word_ & kAllSpaces) != 0) {
      csr::fence_translations();
    } else if (pages == 0) {
      csr::fence_translations(asid);
    } else {
      const std::uint64_t first = word_ >> kFirstShift;
      for (std::uint64_t i = 0; i < pages; ++i) csr::fence_translations((first + i) << kPageShift, asid);
    }
  }

 private:
  // 0 serving, 1 request, 2 all spaces, 3-18 ASID, 19-30 number of pages (0: all), 31-56 first page number
  static constexpr std::uint64_t kRequest = 2, kAllSpaces = 4;
  static constexpr unsigned kAsidShift = 3, kPagesShift = 19, kFirstShift = 31;
  static constexpr std::uint64_t kPagesLimit = 1 << 12;
  static std::uint64_t asid_bits(Asid asid) { return static_cast<std::uint64_t>(asid) << kAsidShift; }
  std::uint64_t word_;
};

struct alignas(64) Slots {
  std::array<std::atomic<std::uint64_t>, kMaxHarts> from{};
};
std::array<Slots, kMaxHarts> slots;

std::array<volatile std::uint32_t*, kMaxHarts> software_interrupt_registers{};
bool registers_available = false;

template <class F>
void for_each_hart(HartSet set, F&& f) {
  for (unsigned i = 0; i < hart_count(); ++i) {
    if (set.contains(static_cast<HartId>(i))) f(harts[i]);
  }
}

/// Puts a request into the slot. A request that is still there (its target has stayed in the kernel) is
/// widened.
void post(std::atomic<std::uint64_t>& slot, std::uint64_t request) {
  std::uint64_t seen = slot.load();
  for (;;) {
    if (seen == Request::kServing) {
      cpu_relax();
      seen = slot.load();
    } else if (slot.compare_exchange_weak(seen, seen == Request::kEmpty ? request : Request::everything())) {
      return;
    }
  }
}

void fence_by_registers(HartSet targets, const FenceScope& scope) {
  const auto self = static_cast<std::size_t>(platform::current_hart());
  const std::uint64_t request = Request::from(scope);
  const bool leaves_only = scope.range.has_value();
  for_each_hart(targets, [&](Hart& target) {
    post(slots[static_cast<std::size_t>(target.id)].from[self], request);
    const std::uint64_t old = target.state.fetch_or(hart_state::kFence);
    if ((old & hart_state::kUserMode) != 0 || (!leaves_only && (old & hart_state::kIdle) != 0)) {
      shootdown::interrupt_hart(target);
    }
  });
  for_each_hart(targets, [&](Hart& target) {
    const auto& slot = slots[static_cast<std::size_t>(target.id)].from[self];
    while (slot.load() != Request::kEmpty) {
      if (leaves_only && (target.state.load() & hart_state::kUserMode) == 0) break;
      cpu_relax();
    }
  });
}

void fence_by_firmware(HartSet targets, const FenceScope& scope) {
  const auto asid = static_cast<std::uint64_t>(scope.asid);
  const std::uint64_t start = scope.range ? scope.range->start().value() : 0;
  const std::uint64_t size = scope.range ? scope.range->size() : 0;
  // Hart numbers may be sparse: one call tells 64 neighbouring ones.
  sbi::HartMask group{0, 0};
  const auto flush_group = [&] {
    if (group.mask != 0 && !sbi::remote_fence(group, start, size, asid).succeeded())
      panic("SBI remote fence failed");
    group = {0, 0};
  };
  for_each_hart(targets, [&](Hart& target) {
    if (group.mask == 0) group.base = target.hardware_id;
    if (target.hardware_id < group.base || target.hardware_id - group.base >= 64) {
      flush_group();
      group.base = target.hardware_id;
    }
    group.mask |= std::uint64_t{1} << (target.hardware_id - group.base);
  });
  flush_group();
}

/// Another hart has panicked.
[[noreturn]] void stop_this_hart() {
  csr::write_sie(0);
  for (;;) csr::wait_for_interrupt();
}

}  // namespace

void cpu_relax() noexcept {
  // pause (Zihintpause): a hint, a no-op where it is not known.
  asm volatile(".insn 0x0100000f");
  const std::uint64_t state = Hart::current().state.load(std::memory_order_relaxed);
  if ((state & (hart_state::kFence | hart_state::kStop | hart_state::kInstructions)) != 0)
    shootdown::serve_requests();
}

void request(Hart& hart, std::uint64_t request) {
  const std::uint64_t old = hart.state.fetch_or(request);
  if ((old & (hart_state::kUserMode | hart_state::kIdle)) != 0) shootdown::interrupt_hart(hart);
}

namespace shootdown {

namespace {

/// Finds the registers of the harts that `target` reaches. How many are new.
unsigned find_registers(const InterruptTarget& target) {
  constexpr std::uint32_t kSupervisorSoftware = 1;
  unsigned found = 0;
  for (std::size_t context = 0; context < target.contexts.size(); ++context) {
    const InterruptContext& entry = target.contexts[context];
    if (entry.cause != kSupervisorSoftware || (context + 1) * sizeof(std::uint32_t) > target.registers.size())
      continue;
    for (unsigned i = 0; i < hart_count(); ++i) {
      if (harts[i].interrupt_controller != entry.controller || software_interrupt_registers[i] != nullptr)
        continue;
      software_interrupt_registers[i] = reinterpret_cast<volatile std::uint32_t*>(
          mmio(Pa::checked(target.registers.start + context * sizeof(std::uint32_t))));
      ++found;
    }
  }
  return found;
}

}  // namespace

void initialize(const Machine& machine) {
  unsigned found = 0;
  for (const InterruptTarget& target : machine.software_interrupts) found += find_registers(target);
  registers_available = found == hart_count();
}

bool has_registers() { return registers_available; }

void interrupt_hart(const Hart& hart) {
  if (registers_available) {
    write_register(software_interrupt_registers[static_cast<std::size_t>(hart.id)], std::uint32_t{1});
  } else {
    sbi::send_ipi({1, hart.hardware_id});
  }
}

void acknowledge() {
  csr::clear_sip(csr::kSoftwareInterrupt);
  // Were the state read first, a request that comes in between would lose its interrupt.
  csr::fence_after_write();
}

void serve_requests() {
  Hart& hart = Hart::current();
  const std::uint64_t asked = hart.state.fetch_and(~(hart_state::kFence | hart_state::kInstructions));
  if ((asked & hart_state::kStop) != 0) stop_this_hart();
  if ((asked & hart_state::kInstructions) != 0) csr::fence_instructions();
  if ((asked & hart_state::kFence) == 0) return;
  for (auto& slot : slots[static_cast<std::size_t>(hart.id)].from) {
    if (slot.load(std::memory_order_relaxed) == Request::kEmpty) continue;
    const Request request(slot.exchange(Request::kServing));
    request.carry_out();
    slot.store(Request::kEmpty);
  }
}

void fence_everything() {
  csr::fence_translations();
  for_each_hart(online_harts().without(platform::current_hart()), [](Hart& target) {
    if (!sbi::remote_fence_all({1, target.hardware_id}).succeeded()) panic("SBI remote fence failed");
  });
}

}  // namespace shootdown

namespace platform {

void fence_remote(HartSet targets, const FenceScope& scope) noexcept {
  if (registers_available) {
    fence_by_registers(targets, scope);
  } else {
    fence_by_firmware(targets, scope);
  }
}

void synchronize_instructions() noexcept {
  // Each hart executes fence.i before its next user instruction; nobody waits for a hart that is in the
  // kernel, by the argument above.
  csr::fence_instructions();
  const HartSet others = online_harts().without(current_hart());
  for_each_hart(others, [](Hart& target) { request(target, hart_state::kInstructions); });
  for_each_hart(others, [](Hart& target) {
    constexpr std::uint64_t kPending = hart_state::kInstructions | hart_state::kUserMode;
    while ((target.state.load() & kPending) == kPending) cpu_relax();
  });
}

}  // namespace platform
}  // namespace faultline
