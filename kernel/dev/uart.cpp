#include "kernel/dev/uart.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "kernel/dev/plic.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/mm/platform.hpp"
#include "kernel/riscv/device_register.hpp"
#include "kernel/riscv/machine.hpp"
#include "kernel/riscv/memory_map.hpp"
#include "kernel/riscv/sbi.hpp"

namespace faultline::uart {

namespace {

// Registers by number, and their bits.
constexpr unsigned kData = 0, kInterruptEnable = 1, kFifoControl = 2, kLineControl = 3, kLineStatus = 5;
constexpr std::uint8_t kEnableReceived = 1 << 0, kEnableTransmitterEmpty = 1 << 1;
constexpr std::uint8_t kFifoEnableAndClear = 0x07;
constexpr std::uint8_t kEightBits = 0x03;
constexpr std::uint8_t kDataReady = 1 << 0, kTransmitterEmpty = 1 << 5;
constexpr std::size_t kFifoDepth = 16;

volatile std::byte* registers = nullptr;  // null until initialize
unsigned register_shift = 0;
InterruptSource interrupt_source;
bool interrupts_in_use = false;
Receiver give_received = nullptr;

std::uint8_t read(unsigned number) {
  return std::to_integer<std::uint8_t>(read_register(registers + (std::size_t{number} << register_shift)));
}
void write(unsigned number, std::uint8_t value) {
  write_register(registers + (std::size_t{number} << register_shift), std::byte{value});
}

/// Output that waits for the line. Under `lock`, except during a panic.
class Ring {
 public:
  bool empty() const { return first_ == last_; }
  std::size_t push(std::span<const std::byte> bytes) {
    const std::size_t count = std::min(bytes.size(), kSize - (last_ - first_));
    for (std::size_t i = 0; i < count; ++i) bytes_[(last_ + i) % kSize] = bytes[i];
    last_ += count;
    return count;
  }
  std::byte pop() { return bytes_[first_++ % kSize]; }

 private:
  static constexpr std::size_t kSize = 4096;
  std::array<std::byte, kSize> bytes_;
  std::size_t first_ = 0, last_ = 0;  // counted from the start of time
};

SpinLock lock{LockRank::Leaf};
Ring ring;
/// Raised when the ring has been emptied, for threads that wait for room.
std::atomic<std::uint32_t> emptied = 0;

void put_polled(std::byte byte) {
  while ((read(kLineStatus) & kTransmitterEmpty) == 0) {
  }
  write(kData, std::to_integer<std::uint8_t>(byte));
}

/// Moves queued bytes into the transmitter as long as it takes them; its interrupt asks for more while some
/// are left.
void feed_transmitter() {
  while (!ring.empty() && (read(kLineStatus) & kTransmitterEmpty) != 0) {
    for (std::size_t i = 0; i < kFifoDepth && !ring.empty(); ++i) {
      write(kData, std::to_integer<std::uint8_t>(ring.pop()));
    }
  }
  write(kInterruptEnable, kEnableReceived | (ring.empty() ? 0 : kEnableTransmitterEmpty));
}

struct UartInterrupt final : InterruptHandler {
  void on_interrupt() override {
    while ((read(kLineStatus) & kDataReady) != 0) give_received(static_cast<std::byte>(read(kData)));
    bool room;
    {
      SpinGuard guard(lock);
      feed_transmitter();
      room = ring.empty();
    }
    if (room) {
      emptied.fetch_add(1);
      platform::wake_waiters(emptied);
    }
  }
};
UartInterrupt interrupt_handler;

void write_all(std::string_view text) {
  while (!ring.empty()) put_polled(ring.pop());
  for (const char character : text) {
    if (character == '\n') put_polled(std::byte{'\r'});
    put_polled(static_cast<std::byte>(character));
  }
}

}  // namespace

void initialize(const UartDescription& description) {
  registers = mmio(Pa::checked(description.registers.start));
  register_shift = description.register_shift;
  interrupt_source = description.interrupt;
  write(kInterruptEnable, 0);
  // The firmware has set the speed.
  write(kLineControl, kEightBits);
  write(kFifoControl, kFifoEnableAndClear);
}

void use_interrupts(Receiver receiver) {
  if (registers == nullptr) return;
  give_received = receiver;
  plic::register_handler(interrupt_source, interrupt_handler);
  SpinGuard guard(lock);
  interrupts_in_use = true;
  write(kInterruptEnable, kEnableReceived);
}

std::size_t try_write(std::span<const std::byte> bytes) {
  if (!interrupts_in_use) {
    for (const std::byte byte : bytes) {
      const char character = static_cast<char>(byte);
      write_polled({&character, 1});
    }
    return bytes.size();
  }
  SpinGuard guard(lock);
  const std::size_t queued = ring.push(bytes);
  feed_transmitter();
  return queued;
}

void write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::uint32_t seen = emptied.load();
    bytes = bytes.subspan(try_write(bytes));
    if (!bytes.empty()) platform::wait_while_equal(emptied, seen);
  }
}

void write_polled(std::string_view text, bool panicking) {
  if (registers == nullptr) {
    for (const char character : text) sbi::legacy_console_put(character);
  } else if (panicking) {
    write_all(text);
  } else {
    SpinGuard guard(lock);
    write_all(text);
  }
}

}  // namespace faultline::uart
