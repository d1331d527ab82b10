#pragma once
// What the device tree says about the board, as far as the kernel uses it.

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

#include "kernel/mm/platform.hpp"
#include "kernel/riscv/fdt.hpp"
#include "kernel/riscv/mmio_device.hpp"

namespace faultline {

/// Physical bytes [start, end).
struct PaRange {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t size() const { return end - start; }
  bool contains(std::uint64_t address) const { return start <= address && address < end; }
};

/// A list with a fixed capacity; what does not fit is dropped and counted.
template <class T, std::size_t kCapacity>
class BoundedList {
 public:
  void add(const T& item) {
    if (count_ < kCapacity) {
      items_[count_++] = item;
    } else {
      ++dropped_;
    }
  }
  /// Forgets the items from `count` on.
  void truncate(std::size_t count) { count_ = count; }
  std::size_t dropped() const { return dropped_; }
  std::size_t size() const { return count_; }
  T* begin() { return items_.data(); }
  T* end() { return items_.data() + count_; }
  const T* begin() const { return items_.data(); }
  const T* end() const { return items_.data() + count_; }
  T& operator[](std::size_t index) { return items_[index]; }
  const T& operator[](std::size_t index) const { return items_[index]; }

 private:
  std::array<T, kCapacity> items_{};
  std::size_t count_ = 0;
  std::size_t dropped_ = 0;
};

struct HartDescription {
  std::uint64_t hardware_id = 0;
  std::uint32_t interrupt_controller = 0;  // phandle of its local interrupt controller
  std::string_view isa;                    // "rv64imafdc…", or the list of extensions
  bool has_sstc = false;
  bool has_floating_point = false;  // F and D
};

struct UartDescription {
  PaRange registers;
  InterruptSource interrupt;
  std::uint32_t register_shift = 0;
};

/// A target of a PLIC or of the software-interrupt registers: interrupt `cause` of the hart whose local
/// controller has this phandle. The position in the list is the context's number.
struct InterruptContext {
  std::uint32_t controller = 0;
  std::uint32_t cause = 0;
};

struct InterruptTarget {
  PaRange registers;
  std::uint32_t phandle = 0;
  std::uint32_t sources = 0;  // PLIC: highest source number
  BoundedList<InterruptContext, 64> contexts;
};

struct Machine {
  BoundedList<PaRange, 16> memory;
  BoundedList<PaRange, 32> reserved;
  BoundedList<HartDescription, 64> harts;
  std::uint64_t timebase_frequency = 0;
  std::optional<UartDescription> uart;
  // One of each for every socket.
  static constexpr std::size_t kMaxSockets = 4;
  BoundedList<InterruptTarget, kMaxSockets> plics;
  BoundedList<InterruptTarget, kMaxSockets> software_interrupts;  // riscv,aclint-sswi
  std::string_view
      unsupported_controller;            // what the first controller of devices that is no PLIC calls itself
  std::optional<PaRange> test_finisher;  // sifive,test0
  std::optional<PaRange> real_time_clock;  // google,goldfish-rtc
  BoundedList<MmioDevice, 32> virtio;
  std::string_view boot_arguments;

  /// The value of `key=value` among the boot arguments, or nothing.
  std::optional<std::string_view> boot_argument(std::string_view key) const;
};

/// Fills `machine` from the blob, which must outlive it. On an error it is unusable.
std::expected<void, fdt::Error> describe_machine(fdt::Bytes blob, Machine& machine);

/// The board this kernel runs on; filled once, by start-up.
extern Machine machine;

}  // namespace faultline
