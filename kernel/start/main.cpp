// The start-up sequence, after start/boot.cpp has brought up the first hart.

#include "kernel/dev/console.hpp"
#include "kernel/dev/power.hpp"
#include "kernel/dev/uart.hpp"
#include "kernel/dev/virtio_devices.hpp"
#include "kernel/fs/file_system.hpp"
#include "kernel/proc/init.hpp"
#include "kernel/proc/system_pager.hpp"
#include "kernel/proc/tty.hpp"
#include "kernel/riscv/machine.hpp"
#include "kernel/riscv/memory.hpp"
#include "kernel/riscv/shootdown.hpp"
#include "kernel/sched/scheduler.hpp"
#include "kernel/start/boot.hpp"

extern "C" void panic_trap(const char* message, const char* file, std::uint64_t line);

namespace faultline {

namespace {

constexpr std::uint16_t kStartFailed = 1;

[[noreturn]] void give_up(std::string_view why) {
  print("faultline: {}; powering off\n", why);
  power_off(kStartFailed);
}

PagerChoice pager_of_first_process() {
  const auto name = machine.boot_argument("pager");
  if (!name) return {};
  if (const auto choice = PagerChoice::named(*name)) return *choice;
  print("faultline: pager={}: this kernel has:", *name);
  for (const PagerTraits* pager : system_pagers()) print(" {}", pager->name);
  print("\n");
  give_up("no such pager");
}

/// What needs a thread, because it sleeps: the disk, the file systems, the first process.
void start_system(void*) {
  const std::span<BlockDevice* const> disks =
      start_virtio_devices({machine.virtio.begin(), machine.virtio.end()});
  if (disks.empty()) give_up("no disk");
  // The file system has said why.
  if (!mount_root(disks)) give_up("no root file system");
  if (const auto ready = initialize_processes(); !ready) give_up(describe(ready.error()));
  // For the test of what a panic leaves behind.
  if (machine.boot_argument("panic") == "boot") panic("asked for by the boot arguments");
  // The report traps over the file name, before it has said a word.
  if (machine.boot_argument("panic") == "report") panic_trap("asked for by the boot arguments", nullptr, 0);
  const PagerChoice pager = pager_of_first_process();
  if (const auto started = start_first_process(machine.boot_argument("init"), pager); !started) {
    give_up(describe(started.error()));
  }
}

void print_banner() {
  print("faultline: {} pager, {} of {} hart{}, {} MiB of memory, {} interrupts between harts\n",
        SystemPager::kTraits.name, online_harts().count(), hart_count(), hart_count() == 1 ? "" : "s",
        (memory::total_frames() * kPageSize) >> 20, shootdown::has_registers() ? "direct" : "firmware");
}

}  // namespace

}  // namespace faultline

using namespace faultline;

void kernel_main() {
  start_other_harts();
  print_banner();
  uart::use_interrupts(tty::receive);
  auto starter = Thread::create("start", start_system, nullptr);
  if (!starter) give_up(describe(starter.error()));
  scheduler::start(std::move(*starter));
  scheduler::run_idle_loop();
}
