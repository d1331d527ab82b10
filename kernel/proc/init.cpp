#include "kernel/proc/init.hpp"

#include <cstring>

#include "kernel/dev/console.hpp"
#include "kernel/dev/power.hpp"
#include "kernel/fs/file_system.hpp"
#include "kernel/fs/proc_source.hpp"
#include "kernel/proc/exec.hpp"
#include "kernel/proc/fork.hpp"
#include "kernel/proc/process_report.hpp"
#include "kernel/proc/process_table.hpp"
#include "kernel/proc/tty.hpp"
#include "kernel/riscv/memory.hpp"
#include "kernel/sched/scheduler.hpp"

namespace faultline {

namespace {

constexpr std::string_view kDefaultPrograms[] = {"/init", "/bin/init", "/bin/sh"};
constexpr std::uint16_t kNoInitStatus = 1;

std::optional<std::string_view> chosen_program;

[[noreturn]] void give_up() {
  unmount_all();
  power_off(kNoInitStatus);
}

Result<> open_console(Process& process, const PathContext& context) {
  Ref<OpenFile> console = TRY(open_path(context, "/dev/console", {OpenFlags::kReadWrite}, 0));
  for (int descriptor = 0; descriptor < 3; ++descriptor) TRY(process.files->install(console, false));
  return {};
}

// In the thread of the first process, before it has a program.
void execute_chosen_program() {
  Process& process = Process::current();
  const Ref<Inode> root = root_directory();
  const PathContext context{
      .root = root.get(), .start = root.get(), .credentials = process.credentials.effective()};
  if (const Result<> opened = open_console(process, context); !opened) {
    print("faultline: /dev/console: {}\n", describe(opened.error()));
  }
  if (chosen_program) {
    const Result<> result = execute_first(*chosen_program, context);
    if (result) return;
    print("faultline: init={}: {}\n", *chosen_program, describe(result.error()));
    give_up();
  }
  for (const std::string_view program : kDefaultPrograms) {
    const Result<> result = execute_first(program, context);
    if (result) return;
    if (result.error() != KernelError::NoSuchFile)
      print("faultline: {}: {}\n", program, describe(result.error()));
  }
  print("faultline: no init found: neither /init nor /bin/init nor /bin/sh can be executed\n");
  give_up();
}

}  // namespace

Result<> initialize_processes() {
  set_user_thread_limit(memory::total_frames());
  TRY(create_signal_return_page());
  register_proc_source(process_report_source());
  return tty::initialize();
}

Result<> start_first_process(std::optional<std::string_view> program, PagerChoice pager) {
  chosen_program = program;
  Identifier id = TRY(Identifier::allocate());
  Ref<Session> session = TRY(make_ref<Session>(id.share()));
  Ref<ProcessGroup> group = TRY(make_ref<ProcessGroup>(id.share(), session));
  Ref<Process> process = TRY(make_ref<Process>(std::move(id)));
  process->files = TRY(make_ref<FileTable>());
  process->file_system = TRY(make_ref<FileSystemContext>(root_directory(), root_directory()));
  process->actions = TRY(make_ref<SignalActions>());
  process->memory = TRY(AddressSpace::create(initial_memory_limits(), pager));
  process->next_pager = pager;
  process->started = clock::now();
  set_initial_limits(process->limits, user_thread_limit());
  std::memcpy(process->name, "init", sizeof("init"));
  Ref<UserThread> thread = TRY(UserThread::create(*process, execute_chosen_program));
  thread->id = process->id;
  thread->space = process->space();
  TRY(count_first_thread());
  {
    SpinGuard guard(process_lock);
    process_table.add(*group);
    process->group = group;
    group->members.push_back(*process);
    process->threads.push_back(*thread);
    process->threads_alive = 1;
    process_table.add(process);
  }
  scheduler::start(std::move(thread));
  return {};
}

}  // namespace faultline
