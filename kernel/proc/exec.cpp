#include "kernel/proc/exec.hpp"

#include <cstring>

#include "kernel/fs/file_lease.hpp"
#include "kernel/proc/exit.hpp"
#include "kernel/proc/program_image.hpp"
#include "kernel/proc/signal.hpp"
#include "kernel/sched/scheduler.hpp"

namespace faultline {

namespace {

constexpr unsigned kMaxScriptDepth = 4;
constexpr std::size_t kScriptLineBytes = 256;  // Linux's BINPRM_BUF_SIZE: a longer first line is cut

/// The first line of a script, "#! interpreter [argument]", taken apart.
struct ScriptLine {
  char characters[kScriptLineBytes];
  std::string_view interpreter;
  std::string_view argument;  // empty: none
};

constexpr std::string_view kBlanks = " \t";

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// What will run, and which arguments stand before the user's own. Boxed: too large for a kernel stack.
struct Program {
  Ref<Inode> file;
  unsigned scripts = 0;                    // how many lines are in use
  ScriptLine lines[kMaxScriptDepth] = {};  // the script's own first, then its interpreter's, …
};

// True when the file is a script; then `line` has been filled in.
Result<bool> read_script_line(Inode& file, ScriptLine& line) {
  KernelIoBuffer buffer(std::span<std::byte>(std::as_writable_bytes(std::span(line.characters))));
  const std::size_t length = TRY(file.read_at(0, buffer));
  std::string_view text(line.characters, length);
  if (!text.starts_with("#!")) return false;
  text = text.substr(2, std::min(text.find('\n'), text.size()) - 2);
  text = trim(text.substr(0, text.find('\0')));
  const std::size_t end = text.find_first_of(kBlanks);
  line.interpreter = text.substr(0, end);
  line.argument = end == std::string_view::npos ? std::string_view() : trim(text.substr(end));
  if (line.interpreter.empty()) return failure(KernelError::NotExecutable);
  return true;
}

Result<> check_executable(const Inode& file, const PathContext& context) {
  if (!file.is_regular()) return failure(KernelError::AccessDenied);
  TRY(check_access(file, access_mode::kExecute, context.credentials));
  return break_leases(file, false, true);
}

// Follows "#!" lines from the file to the program that will run.
Result<Box<Program>> find_program(const PathContext& context, Ref<Inode> file) {
  Box<Program> program = TRY(make_box<Program>());
  program->file = std::move(file);
  TRY(check_executable(*program->file, context));
  for (;;) {
    ScriptLine last;
    const bool room = program->scripts < kMaxScriptDepth;
    ScriptLine& line = room ? program->lines[program->scripts] : last;
    if (!TRY(read_script_line(*program->file, line))) return program;
    if (!room) return failure(KernelError::TooManySymbolicLinks);
    ++program->scripts;
    program->file = TRY(resolve(context, line.interpreter, FollowLast::Yes));
    TRY(check_executable(*program->file, context));
  }
}

// The arguments of the innermost interpreter: it, its argument, then those of the script it is to run, and so
// on; last the path of the first script in place of the user's argv[0].
Result<> add_script_arguments(const Program& program, std::string_view path, StringList& arguments) {
  for (unsigned i = program.scripts; i-- > 0;) {
    TRY(arguments.add(program.lines[i].interpreter));
    if (!program.lines[i].argument.empty()) TRY(arguments.add(program.lines[i].argument));
  }
  return arguments.add(path);
}

Result<StringList> collect_arguments(const Program& program, std::string_view path, std::uint64_t array) {
  StringList arguments;
  if (program.scripts > 0) TRY(add_script_arguments(program, path, arguments));
  TRY(arguments.add_user_array(array, program.scripts > 0 ? 1 : 0));
  // A program may rely on argv[0]; Linux gives an empty string where the caller gave nothing.
  if (arguments.count() == 0) TRY(arguments.add(""));
  return arguments;
}

ProcessCredentials credentials_after(const ProcessCredentials& before, const Inode& file) {
  ProcessCredentials after = before;
  const Stat stat = file.stat();
  const bool gives_rights = !UserThread::current().no_new_privileges;
  if (gives_rights && (stat.mode & mode::kSetUser) != 0) after.effective_user = stat.user;
  if (gives_rights && (stat.mode & mode::kSetGroup) != 0) after.effective_group = stat.group;
  after.saved_user = after.effective_user;
  after.saved_group = after.effective_group;
  return after;
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

void set_name(char (&name)[16], std::string_view from) {
  std::memset(name, 0, sizeof(name));
  std::memcpy(name, from.data(), std::min(from.size(), sizeof(name) - 1));
}

void start_program(UserThread& thread, std::uint64_t entry, std::uint64_t stack_pointer) {
  thread.trap_frame() = TrapFrame{};
  thread.trap_frame().pc = entry;
  thread.trap_frame().sp = stack_pointer;
  fp::clear_current();
  thread.alternate_stack = {};
  thread.clear_child_tid = 0;
  thread.robust_list = 0;
}

/// What must be had before the old program is given up; nothing can fail after that.
struct Successor {
  ProgramStart start;
  Ref<FileTable> files;
  Ref<SignalActions> actions;
  ProcessCredentials credentials;
  ExecutedFile executable;
  bool gains_rights;  // it runs with rights that its caller does not have
  bool secure;        // it does, or its caller may not read it
};

// Files and actions that are shared with another process become this one's own.
Result<> stop_sharing(const Process& process, Successor& next) {
  next.files = process.files->references() > 1 ? TRY(process.files->clone()) : process.files;
  next.actions = process.actions;
  if (process.actions->references() > 2) {
    next.actions = TRY(make_ref<SignalActions>());
    SpinGuard guard(process_lock);
    next.actions->copy_from(*process.actions);
  }
  return {};
}

void commit(Process& process, Successor next, std::string_view name) {
  UserThread& thread = UserThread::current();
  Ref<AddressSpace> old_memory = std::move(next.start.memory);
  {
    SpinGuard guard(process_lock);
    process.own_usage.minor_faults += process.memory ? process.mm().fault_count() : 0;
    std::swap(process.memory, old_memory);
    std::swap(process.files, next.files);
    std::swap(process.actions, next.actions);
    std::swap(process.executable, next.executable);
    process.actions->reset_handlers();
    process.credentials = next.credentials;
    if (next.gains_rights) thread.parent_death_signal.reset();
    process.dumpable = !next.secure;
    process.arguments = next.start.arguments;
    process.executed = true;
    process.exit_signal = Signal::Child;  // what the program before agreed on with its parent is over
    set_name(process.name, name);
    set_name(thread.name, name);
  }
  start_program(thread, next.start.entry, next.start.stack_pointer);
  process.files->close_for_exec();
  // The old space may be destroyed only after this hart has left it.
  scheduler::use_space(process.space());
  old_memory = nullptr;
  SpinGuard guard(process_lock);
  process.end_vfork();
}

Result<> run(Process& process, Program& program, std::string_view path, const StringList& arguments,
             const StringList& environment) {
  ExecutedFile executable = TRY(ExecutedFile::from(program.file));
  const ElfImage image = TRY(read_elf(*program.file));
  const ProcessCredentials credentials = credentials_after(process.credentials, *program.file);
  const bool gains_rights = credentials.effective_user != process.credentials.user ||
                            credentials.effective_group != process.credentials.group;
  Successor next{.start = TRY(load_program(*program.file, image, path, arguments, environment, credentials,
                                           gains_rights)),
                 .files = nullptr,
                 .actions = nullptr,
                 .credentials = credentials,
                 .executable = std::move(executable),
                 .gains_rights = gains_rights,
                 .secure = gains_rights ||
                           !check_access(*program.file, access_mode::kRead, process.credentials.effective())};
  TRY(stop_sharing(process, next));
  TRY(leave_siblings_behind());
  commit(process, std::move(next), base_name(path));
  return {};
}

}  // namespace

Result<> execute(const ExecRequest& request) {
  Box<Program> program = TRY(find_program(request.context, request.file));
  const StringList arguments = TRY(collect_arguments(*program, request.path, request.arguments));
  StringList environment;
  TRY(environment.add_user_array(request.environment, 0));
  if (arguments.bytes() + environment.bytes() > StringList::kMaxBytes)
    return failure(KernelError::ArgumentsTooLong);
  return run(Process::current(), *program, request.path, arguments, environment);
}

Result<> execute_first(std::string_view path, const PathContext& context) {
  Box<Program> program = TRY(find_program(context, TRY(resolve(context, path, FollowLast::Yes))));
  StringList arguments;
  if (program->scripts > 0) {
    TRY(add_script_arguments(*program, path, arguments));
  } else {
    TRY(arguments.add(path));
  }
  return run(Process::current(), *program, path, arguments, StringList());
}

}  // namespace faultline
