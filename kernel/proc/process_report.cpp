#include "kernel/proc/process_report.hpp"

#include <cstring>

#include "kernel/dev/clock.hpp"
#include "kernel/fs/proc_source.hpp"
#include "kernel/mm/page_cache.hpp"
#include "kernel/proc/access.hpp"
#include "kernel/proc/exit.hpp"
#include "kernel/proc/fork.hpp"
#include "kernel/proc/process_table.hpp"
#include "kernel/proc/tty.hpp"
#include "kernel/riscv/machine.hpp"
#include "kernel/riscv/memory.hpp"
#include "kernel/sched/load_average.hpp"
#include "kernel/sched/scheduler.hpp"

namespace faultline {

namespace {

constexpr std::uint64_t kNanosecondsPerMillisecond = 1'000'000;
constexpr DeviceNumber kConsole{.major = 5, .minor = 1};

std::uint64_t to_user_ticks(std::uint64_t ticks) {
  return ticks / (clock::ticks_per_second() / kUserTicksPerSecond);
}

Result<Process*> find(ProcessId id, const SpinGuard&) {
  Process* process = process_table.find(id);
  if (process == nullptr) return failure(KernelError::NoSuchProcess);
  return process;
}

/// A reference to one of the things a process holds; NoSuchProcess when it has let go of it.
template <class T>
Result<Ref<T>> resource(ProcessId id, Ref<T> Process::* member) {
  SpinGuard guard(process_lock);
  const Process& process = *TRY(find(id, guard));
  Ref<T> held = process.*member;
  if (!held) return failure(KernelError::NoSuchProcess);
  return held;
}

bool runs(const Thread& thread) {
  switch (thread.state()) {
    case Thread::State::Runnable:
    case Thread::State::Running:
    case Thread::State::Woken:
      return true;
    default:
      return false;
  }
}

char state_letter(const Process& process) {
  if (process.state == Process::State::Zombie || process.threads.empty()) return 'Z';
  if (process.stopped) return 'T';
  for (const UserThread& thread : process.threads) {
    if (thread.id == process.id) return runs(thread) ? 'R' : 'S';
  }
  return 'Z';
}

void report_signals(const Process& process, ProcessReport& report) {
  report.signals_pending = process.pending.set().bits();
  report.dumpable = process.dumpable;
  if (!process.threads.empty()) {
    const UserThread& first = process.threads.front();
    report.nice = first.scheduling.nice;
    report.signals_blocked = first.blocked.bits();
    // One that has just been forked has not been on any.
    if (const Hart* const hart = first.hart) report.last_hart = static_cast<std::uint32_t>(hart->id);
  }
  if (!process.actions) return;
  for (unsigned number = 1; number <= kSignalCount; ++number) {
    const auto signal = static_cast<Signal>(number);
    const std::uint64_t handler = process.actions->of(signal).handler;
    const std::uint64_t bit = SignalSet::of(signal).bits();
    if (handler == SignalAction::kIgnore) report.signals_ignored |= bit;
    if (handler > SignalAction::kIgnore) report.signals_caught |= bit;
  }
}

class Source final : public ProcSource {
 public:
  ProcessId current() override { return Process::current().id; }

  std::optional<ProcessId> next_process(ProcessId after) override {
    SpinGuard guard(process_lock);
    const Process* next = process_table.next(after);
    return next == nullptr ? std::nullopt : std::optional(next->id);
  }

  Result<> check_inspection(ProcessId id) override {
    SpinGuard guard(process_lock);
    const Process& process = *TRY(find(id, guard));
    if (access::may_inspect(process, access::Identity::Effective)) return {};
    return failure(KernelError::AccessDenied);
  }
  bool sees_frame_numbers() override { return Process::current().credentials.privileged(); }
  Result<ProcessReport> process(ProcessId id) override;
  Result<MemoryReport> memory(ProcessId id) override;
  Result<> areas(ProcessId id, std::uint64_t from, AreaVisitor& visitor) override;
  Result<std::uint64_t> page_map(ProcessId id, Va va) override;
  Result<std::size_t> command_line(ProcessId id, std::uint64_t offset, std::span<std::byte> bytes) override;

  Result<Ref<Inode>> executable(ProcessId id) override {
    SpinGuard guard(process_lock);
    const Process& process = *TRY(find(id, guard));
    Ref<Inode> file = process.executable.inode();
    if (!file) return failure(KernelError::NoSuchProcess);
    return file;
  }
  Result<Ref<Inode>> working_directory(ProcessId id) override {
    return TRY(resource(id, &Process::file_system))->working_directory();
  }
  Result<Ref<OpenFile>> open_file(ProcessId id, int descriptor) override {
    return TRY(resource(id, &Process::files))->get(descriptor);
  }
  Result<std::optional<int>> next_descriptor(ProcessId id, int after) override {
    const int next = TRY(resource(id, &Process::files))->next_in_use(after + 1);
    return next < 0 ? std::nullopt : std::optional(next);
  }

  SystemReport system() override;
  std::optional<std::uint64_t> frame_owners(std::uint64_t frame_number) override {
    return memory::frame_owners(frame_number);
  }
  std::optional<SlabReport> slab_class(std::size_t index) override;
  std::optional<HartReport> hart(std::uint32_t index) override;
  std::span<const PagerTraits* const> pagers() override { return system_pagers(); }
  Result<PagerTraits> pager(ProcessId id) override {
    return TRY(resource(id, &Process::memory))->mm().traits();
  }
  Result<> choose_pager(std::string_view name) override {
    const auto choice = PagerChoice::named(name);
    if (!choice) return failure(KernelError::InvalidArgument);
    Process::current().next_pager = *choice;
    return {};
  }
};

Result<ProcessReport> Source::process(ProcessId id) {
  ProcessReport report;
  SpinGuard guard(process_lock);
  const Process& process = *TRY(find(id, guard));
  report.id = process.id;
  report.parent = process.parent_id;
  report.group = process.group->id;
  report.session = process.group->session->id;
  report.terminal_group = tty::foreground_group(process);
  report.terminal = report.terminal_group < 0 ? 0 : static_cast<std::uint32_t>(kConsole.encoded());
  report.state = state_letter(process);
  std::memcpy(report.name, process.name, sizeof(report.name));
  report.user = process.credentials.user;
  report.effective_user = process.credentials.effective_user;
  report.group_id = process.credentials.group;
  report.effective_group = process.credentials.effective_group;
  report.threads = process.threads_alive;
  report_signals(process, report);
  const ResourceUsage usage = usage_of(process, guard);
  report.user_ticks = to_user_ticks(usage.user_ticks);
  report.system_ticks = to_user_ticks(usage.system_ticks);
  report.children_user_ticks = to_user_ticks(process.children_usage.user_ticks);
  report.children_system_ticks = to_user_ticks(process.children_usage.system_ticks);
  report.start_ticks = to_user_ticks(process.started.count());
  report.minor_faults = usage.minor_faults;
  report.major_faults = usage.major_faults;
  return report;
}

Result<MemoryReport> Source::memory(ProcessId id) {
  MemoryReport report;
  Ref<AddressSpace> memory;
  {
    SpinGuard guard(process_lock);
    memory = TRY(find(id, guard))->memory;
  }
  if (!memory) return report;
  const MemoryUsage pages = memory->mm().usage();
  report.virtual_pages = pages.virtual_pages;
  report.resident_pages = pages.resident_pages;
  report.shared_pages = pages.shared_pages;
  memory->mm().for_each_area([&](const VmArea& area) {
    const Permission permission = area.permission();
    if (area.flags().has(AreaFlag::Locked)) report.locked_pages += area.range().pages();
    if (permission.executable()) report.text_pages += area.range().pages();
    if (permission.writable() && !area.is_shared()) report.data_pages += area.range().pages();
  });
  return report;
}

std::string_view label_of(const VmArea& area, Va heap_start, Va heap_end) {
  if (area.start().value() == kSignalReturnPage) return "[vdso]";
  if (!area.is_anonymous()) return {};
  if (area.range().contains(Va::checked(kStackTop - 1))) return "[stack]";
  if (area.range().overlaps(VaRange(heap_start, heap_end))) return "[heap]";
  return {};
}

Result<> Source::areas(ProcessId id, std::uint64_t from, AreaVisitor& visitor) {
  const Ref<AddressSpace> memory = TRY(resource(id, &Process::memory));
  const Va heap_start = memory->mm().heap_start();
  const Va heap_end = std::max(heap_start, memory->mm().heap_end());
  bool more = true;
  memory->mm().for_each_area([&](const VmArea& area) {
    if (!more || area.start().value() < from) return;
    const Permission permission = area.permission();
    more = visitor.visit({.range = area.range(),
                          .read = permission.readable() && !area.flags().has(AreaFlag::WriteOnly),
                          .write = permission.writable(),
                          .execute = permission.executable(),
                          .shared = area.is_shared(),
                          .file = Inode::from(area.file()),
                          .offset = area.is_anonymous() ? 0 : area.page_index(area.start()) * kPageSize,
                          .label = label_of(area, heap_start, heap_end)});
  });
  return {};
}

Result<std::uint64_t> Source::page_map(ProcessId id, Va va) {
  constexpr std::uint64_t kPresent = std::uint64_t{1} << 63, kFileOrShared = std::uint64_t{1} << 61,
                          kExclusive = std::uint64_t{1} << 56;
  const Ref<AddressSpace> memory = TRY(resource(id, &Process::memory));
  const std::optional<Translation> page = memory->mm().walk(va);
  if (!page) return 0;
  const Pa frame = page->pa(va).page();
  std::uint64_t entry = kPresent | frame.page_number();
  if (page->entry.is_shared_mapping()) entry |= kFileOrShared;
  const bool sole = page->entry.is_counted() && !page->shared && Frame::has_sole_owner(frame);
  return sole ? entry | kExclusive : entry;
}

Result<std::size_t> Source::command_line(ProcessId id, std::uint64_t offset, std::span<std::byte> bytes) {
  Ref<AddressSpace> memory;
  VaRange strings(Va::checked(0), Va::checked(0));
  {
    SpinGuard guard(process_lock);
    const Process& process = *TRY(find(id, guard));
    memory = process.memory;
    strings = process.arguments;
  }
  if (!memory || offset >= strings.size()) return 0;
  const std::size_t count = std::min<std::uint64_t>(bytes.size(), strings.size() - offset);
  TRY(memory->mm().copy_in(bytes.first(count), strings.start() + offset));
  return count;
}

SystemReport Source::system() {
  SystemReport report;
  report.total_frames = memory::total_frames();
  report.free_frames = memory::free_frames();
  report.cached_frames = PageCache::total_pages();
  const std::uint64_t uptime = clock::to_nanoseconds(clock::now());
  report.uptime_milliseconds = uptime / kNanosecondsPerMillisecond;
  report.idle_milliseconds = clock::to_nanoseconds(scheduler::idle_time()) / kNanosecondsPerMillisecond;
  report.context_switches = scheduler::context_switches();
  report.processes_created = processes_created();
  report.boot_time_seconds = (clock::nanoseconds_since_epoch() - uptime) / kNanosecondsPerSecond;
  report.running = scheduler::runnable_threads();
  report.harts = online_harts().count();
  report.threads = user_threads();
  report.newest = Identifier::newest();
  const auto load = load_average::current();
  for (std::size_t i = 0; i < load.size(); ++i)
    report.load_hundredths[i] = (load[i] * 100 + load_average::kOne / 2) / load_average::kOne;
  return report;
}

std::optional<ProcSource::SlabReport> Source::slab_class(std::size_t index) {
  const auto use = memory::slab_class(index);
  if (!use) return std::nullopt;
  return SlabReport{use->object_bytes, use->objects_in_use, use->slabs};
}

std::optional<ProcSource::HartReport> Source::hart(std::uint32_t index) {
  if (index >= hart_count()) return std::nullopt;
  for (const HartDescription& description : machine.harts) {
    if (description.hardware_id != harts[index].hardware_id) continue;
    return HartReport{.hart_id = description.hardware_id,
                      .isa = description.isa,
                      .idle_milliseconds = clock::to_nanoseconds(scheduler::idle_time(harts[index])) /
                                           kNanosecondsPerMillisecond};
  }
  return std::nullopt;
}

Source source;

}  // namespace

ProcSource& process_report_source() { return source; }

}  // namespace faultline
