#pragma once
// Control and status registers of supervisor mode (RISC-V privileged architecture, 2.2 and chapter 4).

#include <cstdint>

namespace faultline::csr {

#define FAULTLINE_CSR(function, name)                           \
  inline std::uint64_t read_##function() {                      \
    std::uint64_t value;                                        \
    asm volatile("csrr %0, " name : "=r"(value));               \
    return value;                                               \
  }                                                             \
  inline void write_##function(std::uint64_t value) {           \
    asm volatile("csrw " name ", %0" ::"rK"(value) : "memory"); \
  }                                                             \
  inline void set_##function(std::uint64_t bits) {              \
    asm volatile("csrs " name ", %0" ::"rK"(bits) : "memory");  \
  }                                                             \
  inline void clear_##function(std::uint64_t bits) {            \
    asm volatile("csrc " name ", %0" ::"rK"(bits) : "memory");  \
  }

FAULTLINE_CSR(sstatus, "sstatus")
FAULTLINE_CSR(sie, "sie")
FAULTLINE_CSR(sip, "sip")
FAULTLINE_CSR(stvec, "stvec")
FAULTLINE_CSR(sscratch, "sscratch")
FAULTLINE_CSR(satp, "satp")
FAULTLINE_CSR(scounteren, "scounteren")
FAULTLINE_CSR(stimecmp, "0x14d")  // Sstc
#undef FAULTLINE_CSR

inline std::uint64_t read_time() {
  std::uint64_t value;
  asm volatile("csrr %0, time" : "=r"(value));
  return value;
}

/// Tries stimecmp with a trap vector that skips over the attempt: firmware that does not know Sstc leaves
/// menvcfg.STCE clear, and the register is illegal then whatever the device tree says.
inline bool stimecmp_works() {
  std::uint64_t works = 1;
  std::uint64_t vector;
  asm volatile(
      "  lla %[vector], 1f\n"
      "  csrrw %[vector], stvec, %[vector]\n"
      "  csrw 0x14d, %[never]\n"
      "  j 2f\n"
      "  .balign 4\n"
      "1: li %[works], 0\n"
      "2: csrw stvec, %[vector]\n"
      : [works] "+&r"(works), [vector] "=&r"(vector)
      : [never] "r"(~std::uint64_t{0})
      : "memory");
  return works != 0;
}

inline constexpr std::uint64_t kSoftwareInterrupt = 1 << 1;
inline constexpr std::uint64_t kTimerInterrupt = 1 << 5;
inline constexpr std::uint64_t kExternalInterrupt = 1 << 9;

// sstatus.FS: state of the floating-point registers.
inline constexpr std::uint64_t kFpMask = 3 << 13;
inline constexpr std::uint64_t kFpOff = 0 << 13;
inline constexpr std::uint64_t kFpInitial = 1 << 13;
inline constexpr std::uint64_t kFpClean = 2 << 13;
inline constexpr std::uint64_t kFpDirty = 3 << 13;

inline constexpr std::uint64_t kSatpSv39 = std::uint64_t{8} << 60;
inline constexpr unsigned kSatpAsidShift = 44;
inline constexpr std::uint64_t kSatpAsidMask = std::uint64_t{0xffff} << kSatpAsidShift;

/// scause codes.
enum class Cause : std::uint64_t {
  InstructionMisaligned = 0,
  InstructionAccess = 1,
  IllegalInstruction = 2,
  Breakpoint = 3,
  LoadMisaligned = 4,
  LoadAccess = 5,
  StoreMisaligned = 6,
  StoreAccess = 7,
  UserCall = 8,
  InstructionPageFault = 12,
  LoadPageFault = 13,
  StorePageFault = 15,
};
inline constexpr std::uint64_t kInterruptBit = std::uint64_t{1} << 63;

/// sfence.vma: drops everything; everything of one address space; one page of one address space.
inline void fence_translations() { asm volatile("sfence.vma" ::: "memory"); }
inline void fence_translations(std::uint64_t asid) {
  asm volatile("sfence.vma x0, %0" ::"r"(asid) : "memory");
}
inline void fence_translations(std::uint64_t address, std::uint64_t asid) {
  asm volatile("sfence.vma %0, %1" ::"r"(address), "r"(asid) : "memory");
}
/// What was written to a control and status register takes effect before memory is read or written after
/// this.
inline void fence_after_write() { asm volatile("fence o, rw" ::: "memory"); }
inline void fence_instructions() { asm volatile("fence.i" ::: "memory"); }
inline void wait_for_interrupt() { asm volatile("wfi" ::: "memory"); }

}  // namespace faultline::csr
