#include "kernel/riscv/sbi.hpp"

namespace faultline::sbi {

namespace {

// SBI 1.0, chapter 3: a7 extension, a6 function, arguments from a0; all registers but a0 and a1 survive.
Reply call(std::uint64_t extension, std::uint64_t function, std::uint64_t first = 0, std::uint64_t second = 0,
           std::uint64_t third = 0, std::uint64_t fourth = 0, std::uint64_t fifth = 0) {
  register std::uint64_t a0 asm("a0") = first;
  register std::uint64_t a1 asm("a1") = second;
  register std::uint64_t a2 asm("a2") = third;
  register std::uint64_t a3 asm("a3") = fourth;
  register std::uint64_t a4 asm("a4") = fifth;
  register std::uint64_t a6 asm("a6") = function;
  register std::uint64_t a7 asm("a7") = extension;
  asm volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7) : "memory");
  return {static_cast<std::int64_t>(a0), static_cast<std::int64_t>(a1)};
}

// What other harts are to find when the firmware starts, interrupts or fences them is in memory before. The
// firmware reaches them through devices, and its call is no fence.
void publish() { asm volatile("fence rw, iorw" ::: "memory"); }

constexpr std::uint64_t number(Extension extension) { return static_cast<std::uint64_t>(extension); }

}  // namespace

void set_timer(std::uint64_t deadline) { call(number(Extension::Time), 0, deadline); }

Reply send_ipi(HartMask harts) {
  publish();
  return call(number(Extension::Ipi), 0, harts.mask, harts.base);
}

Reply start_hart(std::uint64_t hart, std::uint64_t physical_entry, std::uint64_t argument) {
  publish();
  return call(number(Extension::HartState), 0, hart, physical_entry, argument);
}

bool hart_is_stopped(std::uint64_t hart) {
  constexpr std::uint64_t kGetStatus = 2;
  constexpr std::int64_t kStopped = 1;
  const Reply reply = call(number(Extension::HartState), kGetStatus, hart);
  return reply.succeeded() && reply.value == kStopped;
}

Reply remote_fence(HartMask harts, std::uint64_t start, std::uint64_t size, std::uint64_t asid) {
  constexpr std::uint64_t kRemoteSfenceVmaAsid = 2;
  publish();
  return call(number(Extension::RemoteFence), kRemoteSfenceVmaAsid, harts.mask, harts.base, start, size,
              asid);
}

Reply remote_fence_all(HartMask harts) {
  constexpr std::uint64_t kRemoteSfenceVma = 1;
  publish();
  return call(number(Extension::RemoteFence), kRemoteSfenceVma, harts.mask, harts.base, 0, 0);
}

void reset(ResetType type, ResetReason reason) {
  call(number(Extension::SystemReset), 0, static_cast<std::uint64_t>(type),
       static_cast<std::uint64_t>(reason));
}

void legacy_console_put(char character) { call(1, 0, static_cast<unsigned char>(character)); }

}  // namespace faultline::sbi
