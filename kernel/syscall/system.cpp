// The system as a whole: its name, its state, its end.

#include <cstring>

#include "kernel/dev/clock.hpp"
#include "kernel/dev/power.hpp"
#include "kernel/dev/random.hpp"
#include "kernel/fs/file_system.hpp"
#include "kernel/lib/version.hpp"
#include "kernel/mm/page_cache.hpp"
#include "kernel/proc/process_table.hpp"
#include "kernel/proc/system_pager.hpp"
#include "kernel/riscv/memory.hpp"
#include "kernel/sched/load_average.hpp"
#include "kernel/sched/scheduler.hpp"
#include "kernel/sched/thread.hpp"
#include "kernel/syscall/system_calls.hpp"

namespace faultline::system_call {

namespace {

constexpr std::size_t kMaxHostName = 64;

SpinLock host_name_lock;
char host_name[kMaxHostName + 1] = "faultline";

template <std::size_t N>
void set(char (&field)[N], std::string_view text) {
  std::memcpy(field, text.data(), std::min(text.size(), N - 1));
}

}  // namespace

// Programs look at the system and release to know which system calls to expect; the version tells what this
// really is.
Value uname(UserPointer<abi::SystemName> place) {
  abi::SystemName name = {};
  set(name.system, "Linux");
  set(name.release, kCompatibleRelease);
  set(name.version, kVersionText);
  set(name.machine, "riscv64");
  set(name.domain, "(none)");
  {
    SpinGuard guard(host_name_lock);
    set(name.node, host_name);
  }
  TRY(place.write(name));
  return 0;
}

Value sethostname(Address address, std::uint64_t length) {
  if (!Process::current().credentials.privileged()) return failure(KernelError::NotPermitted);
  if (length > kMaxHostName) return failure(KernelError::InvalidArgument);
  char name[kMaxHostName + 1] = {};
  TRY(copy_from_user(std::as_writable_bytes(std::span(name)).first(length), address));
  SpinGuard guard(host_name_lock);
  std::memcpy(host_name, name, sizeof(name));
  return 0;
}

Value sysinfo(UserPointer<abi::SystemInformation> place) {
  abi::SystemInformation information = {};
  information.uptime = abi::to_time_spec(clock::now()).seconds;
  constexpr std::uint64_t kLoadOne = 1 << 16;  // 1.00 in the answer
  const auto load = load_average::current();
  for (std::size_t i = 0; i < load.size(); ++i)
    information.loads[i] = load[i] * (kLoadOne / load_average::kOne);
  information.total_memory = memory::total_frames();
  information.free_memory = memory::free_frames();
  information.buffer_memory = PageCache::total_pages();
  {
    SpinGuard guard(process_lock);
    information.processes = static_cast<std::uint16_t>(process_table.count());
  }
  information.unit = kPageSize;
  TRY(place.write(information));
  return 0;
}

Value getrandom(Address buffer, std::uint64_t size, std::uint32_t flags) {
  constexpr std::uint32_t kNonBlocking = 1, kRandom = 2, kInsecure = 4;
  if ((flags & ~(kNonBlocking | kRandom | kInsecure)) != 0) return failure(KernelError::InvalidArgument);
  constexpr std::uint64_t kMaxBytes = 32 << 20;  // of one call, as Linux
  size = std::min(size, kMaxBytes);
  std::array<std::byte, 256> bytes;
  for (std::uint64_t done = 0; done < size;) {
    const std::span<std::byte> part =
        std::span(bytes).first(std::min<std::uint64_t>(bytes.size(), size - done));
    random_bytes(part);
    if (const Result<> copied = copy_to_user(buffer + done, part); !copied) {
      return done > 0 ? Value(done) : failure(copied.error());
    }
    done += part.size();
    if (Thread::current().signal_pending && done < size) return done;
    scheduler::preemption_point();
  }
  return size;
}

Value reboot(std::uint32_t magic1, std::uint32_t magic2, std::uint32_t command, Address) {
  constexpr std::uint32_t kMagic1 = 0xfee1dead;
  constexpr std::uint32_t kMagic2[] = {672274793, 85072278, 369367448, 537993216};
  constexpr std::uint32_t kRestart = 0x01234567, kHalt = 0xcdef0123, kPowerOff = 0x4321fedc,
                          kEnableKeys = 0x89abcdef, kDisableKeys = 0;
  if (!Process::current().credentials.privileged()) return failure(KernelError::NotPermitted);
  if (magic1 != kMagic1 || std::ranges::find(kMagic2, magic2) == std::end(kMagic2)) {
    return failure(KernelError::InvalidArgument);
  }
  switch (command) {
    case kHalt:
    case kPowerOff:
      unmount_all();
      power_off(0);
    case kRestart:
      unmount_all();
      faultline::reboot();
    case kEnableKeys:
    case kDisableKeys:
      return 0;
    default:
      return failure(KernelError::InvalidArgument);
  }
}

// Only the plain Linux personality exists.
Value personality(std::uint32_t persona) {
  constexpr std::uint32_t kQuery = UINT32_MAX;
  return persona == kQuery || persona == 0 ? Value(0) : failure(KernelError::InvalidArgument);
}

// What is mounted where is decided at start-up.
Value mount_not_permitted() { return failure(KernelError::NotPermitted); }

}  // namespace faultline::system_call
