#include "kernel/sched/fp.hpp"

#include "kernel/riscv/csr.hpp"
#include "kernel/sched/thread.hpp"

extern "C" {
void fp_store(faultline::FpState& state);
void fp_load(const faultline::FpState& state);
}

namespace faultline::fp {

namespace {

constexpr std::uint32_t kFcsrDefined = 0xff;  // rounding mode and exception flags
static_assert(offsetof(FpState, fcsr) == 256);

std::uint64_t hardware_state() { return csr::read_sstatus() & csr::kFpMask; }

void set_hardware_state(std::uint64_t state) {
  csr::clear_sstatus(csr::kFpMask);
  csr::set_sstatus(state);
}

/// Loads the thread's state; the registers are then its own on this hart.
void take_registers(Thread& thread) {
  Hart& hart = Hart::current();
  set_hardware_state(csr::kFpInitial);
  fp_load(thread.fp_state);
  set_hardware_state(csr::kFpClean);
  hart.fp_owner = &thread;
  thread.fp_hart = &hart;
  thread.fp_used = true;
}

}  // namespace

void leave(Thread& thread) {
  if (hardware_state() != csr::kFpDirty) return;
  fp_store(thread.fp_state);
  csr::clear_sstatus(csr::kFpMask);
  csr::set_sstatus(csr::kFpClean);
}

void enter(Thread& thread) {
  const Hart& hart = Hart::current();
  if (!thread.fp_used) {
    if (hardware_state() != csr::kFpOff) csr::clear_sstatus(csr::kFpMask);
  } else if (hart.fp_owner == &thread && thread.fp_hart == &hart) {
    set_hardware_state(csr::kFpClean);
  } else {
    take_registers(thread);
  }
}

bool use_first_time() {
  if (hardware_state() != csr::kFpOff) return false;
  take_registers(Thread::current());
  return true;
}

const FpState& save_current() {
  Thread& thread = Thread::current();
  leave(thread);
  return thread.fp_state;
}

void replace_current(const FpState& state) {
  Thread& thread = Thread::current();
  thread.fp_state = state;
  thread.fp_state.fcsr &= kFcsrDefined;
  take_registers(thread);
}

void clear_current() {
  Thread& thread = Thread::current();
  thread.fp_state = FpState();
  thread.fp_used = false;
  thread.fp_hart = nullptr;
  csr::clear_sstatus(csr::kFpMask);
}

void copy_current_to(Thread& child) {
  const Thread& thread = Thread::current();
  if (!thread.fp_used) return;
  child.fp_state = save_current();
  child.fp_used = true;
}

}  // namespace faultline::fp
