#pragma once
// The serial line (16550-compatible; National Semiconductor PC16550D data sheet). Input comes by interrupt
// and goes to a receiver; output goes through a ring that the transmitter's interrupt empties.

#include <cstddef>
#include <span>
#include <string_view>

namespace faultline {

struct UartDescription;

namespace uart {

/// Finds the registers. After it polled output works.
void initialize(const UartDescription& description);

/// Takes one byte from the line, in interrupt context, with no lock held.
using Receiver = void (*)(std::byte);

/// From here on `receiver` gets the input, and output does not wait for the line. Needs the PLIC.
void use_interrupts(Receiver receiver);

/// Queues bytes for output as they are (no newline conversion); sleeps while the ring is full.
void write(std::span<const std::byte> bytes);

/// Queues as many bytes as fit now and returns their number. Safe in interrupt context (echo).
std::size_t try_write(std::span<const std::byte> bytes);

/// Writes bytes by polling, after what is queued. For the kernel's messages and for panics: takes no lock
/// when `panicking`.
void write_polled(std::string_view text, bool panicking = false);

}  // namespace uart
}  // namespace faultline
