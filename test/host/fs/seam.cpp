// What the file systems need beside the memory core's seam, for one machine in host memory.

#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include "kernel/dev/clock.hpp"
#include "kernel/dev/console.hpp"
#include "kernel/fs/devfs.hpp"
#include "kernel/fs/pipe.hpp"
#include "kernel/fs/stat.hpp"
#include "kernel/fs/write_back.hpp"
#include "kernel/sync/mutex.hpp"
#include "test/host/fs/mounted.hpp"

namespace faultline {

// The word alone decides; waiting is the simulated machine's.
void Mutex::lock() {
  may_sleep();
  std::uint32_t expected = 0;
  while (!word_.compare_exchange_strong(expected, 1, std::memory_order_acquire)) {
    platform::wait_while_equal(word_, expected);
    expected = 0;
  }
}
void Mutex::unlock() {
  ASSERT(is_held());
  word_.store(0, std::memory_order_release);
  platform::wake_waiters(word_);
}

// Nobody waits for a lock or a lease here.
Result<> WaitQueue::sleep_interruptible(SpinGuard&) { return failure(KernelError::Interrupted); }
Result<> WaitQueue::sleep_interruptible_until(SpinGuard&, Ticks) { return failure(KernelError::Interrupted); }
Ticks clock::now() { return Ticks(); }
Ticks clock::from_nanoseconds(std::uint64_t nanoseconds) { return Ticks(nanoseconds); }
unsigned WaitQueue::wake_all() { return 0; }

namespace {
std::mutex console_mutex;
std::string console_text;
std::atomic<std::int64_t> seconds_now = 1'700'000'000;
}  // namespace

void console::print_arguments(std::string_view text, std::span<const FormatArgument> arguments) {
  char space[512];
  SpanSink sink(space);
  format_arguments(sink, text, arguments);
  std::lock_guard guard(console_mutex);
  console_text += sink.text();
}

Timestamp current_time() noexcept { return {seconds_now.load(), 123'456'789}; }

// Files of these kinds are opened by parts of the kernel that are not here.
Result<Ref<OpenFile>> open_character_device(Ref<Inode>, OpenFlags) {
  return failure(KernelError::NoSuchAddress);
}
Result<Ref<OpenFile>> open_named_pipe(Ref<Inode>, OpenFlags) { return failure(KernelError::NoSuchAddress); }

namespace {
std::atomic<bool> change_noted = false;
}
void note_unwritten_change() noexcept { change_noted = true; }

namespace {
std::function<bool()> relief;
}
bool relieve_memory() { return relief && relief(); }

namespace sim {
void set_relief(std::function<bool()> give_up) { relief = std::move(give_up); }
bool take_change_note() { return change_noted.exchange(false); }
std::string take_console() {
  std::lock_guard guard(console_mutex);
  return std::exchange(console_text, {});
}
void advance_clock(std::int64_t seconds) { seconds_now += seconds; }
}  // namespace sim

}  // namespace faultline
