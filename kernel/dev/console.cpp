#include "kernel/dev/console.hpp"

#include "kernel/dev/uart.hpp"
#include "kernel/lib/spin_lock.hpp"

namespace faultline {

namespace {

SpinLock lock{LockRank::Console};

class ConsoleSink final : public TextSink {
 public:
  void write(std::string_view text) override { uart::write_polled(text); }
};

class PanicSink final : public TextSink {
 public:
  void write(std::string_view text) override { uart::write_polled(text, true); }
};

}  // namespace

namespace console {

void print_arguments(std::string_view text, std::span<const FormatArgument> arguments) {
  SpinGuard guard(lock);
  ConsoleSink sink;
  format_arguments(sink, text, arguments);
}

TextSink& panic_sink() {
  static PanicSink sink;
  return sink;
}

}  // namespace console
}  // namespace faultline
