#pragma once
// Reading and writing a device's registers, and the one rule of their order:
//
//     An access to a register comes after everything before it in the program, and before everything after
//     it, in memory and at devices.
//
// RISC-V orders a hart's accesses to memory and to devices against each other only where a fence names both
// (unprivileged architecture, 2.7), and the atomic operations of locks order memory alone. With the rule,
// what a lock covers stays under the lock though it is a register, a request lies in memory before the device
// is told of it, and what the device has written is read after the register that announces it.
//
// Control and status registers count as device output when written and as input when read; whoever relies on
// their order with memory says so with a fence of csr.hpp.

#include <cstdint>

namespace faultline {

template <class T>
T read_register(const volatile T* address) {
  asm volatile("fence rw, i" ::: "memory");
  const T value = *address;
  asm volatile("fence i, iorw" ::: "memory");
  return value;
}

template <class T>
void write_register(volatile T* address, T value) {
  asm volatile("fence rw, o" ::: "memory");
  *address = value;
  asm volatile("fence o, iorw" ::: "memory");
}

}  // namespace faultline
