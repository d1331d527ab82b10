#pragma once
// What /proc tells, as the file system asks for it. The process code implements ProcSource and registers it;
// the formats are the file system's business.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kernel/fs/open_file.hpp"
#include "kernel/lib/ref.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/mm/address.hpp"
#include "kernel/mm/pager.hpp"
#include "kernel/mm/permission.hpp"

namespace faultline {

using ProcessId = std::int32_t;

struct ProcessReport {
  ProcessId id = 0, parent = 0, group = 0, session = 0;
  ProcessId terminal_group = -1;  // foreground group of its terminal; -1 without one
  std::uint32_t terminal = 0;     // device number of its terminal, encoded; 0 without one
  char state = 'R';               // R running, S sleeping, D waiting for a disk, T stopped, Z zombie
  char name[16] = {};             // as PR_SET_NAME, zero-terminated
  std::uint32_t user = 0, effective_user = 0, group_id = 0, effective_group = 0;
  std::uint32_t threads = 1;
  std::uint64_t signals_pending = 0, signals_blocked = 0, signals_ignored = 0, signals_caught = 0;
  std::uint64_t user_ticks = 0, system_ticks = 0;  // in 1/100 s (USER_HZ)
  std::uint64_t children_user_ticks = 0, children_system_ticks = 0;
  std::uint64_t start_ticks = 0;  // since boot, in 1/100 s
  std::uint64_t minor_faults = 0, major_faults = 0;
  std::uint32_t last_hart = 0;
  std::int32_t nice = 0;
  bool dumpable = true;  // its files belong to its user, else to root
};

/// Sizes of a process's memory in pages; all 0 for one that has ended. Counting takes a walk over its page
/// table.
struct MemoryReport {
  std::uint64_t virtual_pages = 0, resident_pages = 0, shared_pages = 0, text_pages = 0, data_pages = 0;
  std::uint64_t locked_pages = 0;
};

/// One area of a process's memory, for /proc/PID/maps.
struct AreaReport {
  VaRange range{Va::checked(0), Va::checked(0)};
  bool read = false, write = false, execute = false, shared = false;
  Inode* file = nullptr;  // alive during the call
  std::uint64_t offset = 0;
  std::string_view label;  // "[stack]", "[heap]", "[vdso]" or empty
};

class AreaVisitor {
 public:
  /// False: enough. Called with the process's memory locked: must not touch user memory nor sleep for it.
  virtual bool visit(const AreaReport& area) = 0;

 protected:
  ~AreaVisitor() = default;
};

struct SystemReport {
  std::uint64_t total_frames = 0, free_frames = 0;
  std::uint64_t cached_frames = 0;  // page cache
  std::uint64_t uptime_milliseconds = 0, idle_milliseconds = 0;
  std::uint64_t context_switches = 0, processes_created = 0, boot_time_seconds = 0;
  std::uint32_t running = 0, blocked = 0;
  std::uint32_t harts = 1;
  std::uint32_t threads = 0;                          // of all processes
  ProcessId newest = 0;                               // the number given out last
  std::array<std::uint64_t, 3> load_hundredths = {};  // over 1, 5 and 15 minutes
};

class ProcSource {
 public:
  /// The caller's process (for /proc/self).
  virtual ProcessId current() = 0;
  /// The smallest process id greater than `after`, or nothing.
  virtual std::optional<ProcessId> next_process(ProcessId after) = 0;
  /// Whether the caller may see the inside of a process. Errors: AccessDenied, NoSuchProcess.
  [[nodiscard]] virtual Result<> check_inspection(ProcessId id) = 0;
  /// Whether the caller may see what frames of memory hold which page.
  virtual bool sees_frame_numbers() = 0;
  /// NoSuchProcess when there is none; all that follow as well.
  [[nodiscard]] virtual Result<ProcessReport> process(ProcessId id) = 0;
  [[nodiscard]] virtual Result<MemoryReport> memory(ProcessId id) = 0;
  /// Areas in ascending order from address `from` on.
  [[nodiscard]] virtual Result<> areas(ProcessId id, std::uint64_t from, AreaVisitor& visitor) = 0;
  /// Linux's pagemap entry of the page at `va`: bit 63 present, 61 file page or shared anonymous, 56 mapped
  /// exclusively, bits 0-54 the frame
  /// number.
  [[nodiscard]] virtual Result<std::uint64_t> page_map(ProcessId id, Va va) = 0;
  /// The argument strings with their terminating zeroes, from `offset` on; returns how many bytes were
  /// copied.
  [[nodiscard]] virtual Result<std::size_t> command_line(ProcessId id, std::uint64_t offset,
                                                         std::span<std::byte> bytes) = 0;
  [[nodiscard]] virtual Result<Ref<Inode>> executable(ProcessId id) = 0;
  [[nodiscard]] virtual Result<Ref<Inode>> working_directory(ProcessId id) = 0;
  [[nodiscard]] virtual Result<Ref<OpenFile>> open_file(ProcessId id, int descriptor) = 0;
  /// The smallest open descriptor greater than `after`.
  [[nodiscard]] virtual Result<std::optional<int>> next_descriptor(ProcessId id, int after) = 0;

  virtual SystemReport system() = 0;
  /// How many owners a frame of memory has; 0 when it is free or no memory, nothing past the last frame.
  virtual std::optional<std::uint64_t> frame_owners(std::uint64_t frame_number) = 0;
  /// The kernel's small objects of one size: bytes of each, how many are in use, frames that hold them.
  struct SlabReport {
    std::size_t object_bytes, objects, slabs;
  };
  /// Nothing past the last size; sizes ascend.
  virtual std::optional<SlabReport> slab_class(std::size_t index) = 0;
  /// A hart: its mhartid, its ISA string as in /proc/cpuinfo ("rv64imafdc…"), and how long it was idle.
  struct HartReport {
    std::uint64_t hart_id;
    std::string_view isa;
    std::uint64_t idle_milliseconds;
  };
  /// Nothing past the last hart.
  virtual std::optional<HartReport> hart(std::uint32_t index) = 0;

  /// The memory policies that a program can run under, the default first.
  virtual std::span<const PagerTraits* const> pagers() = 0;
  /// What the policy of a process's memory promises.
  [[nodiscard]] virtual Result<PagerTraits> pager(ProcessId id) = 0;
  /// Chooses the policy of what the caller's process executes next, and of its children's. Error:
  /// InvalidArgument when there is none of that name.
  [[nodiscard]] virtual Result<> choose_pager(std::string_view name) = 0;

 protected:
  ~ProcSource() = default;
};

/// Tells procfs where to ask. Before this /proc has no processes.
void register_proc_source(ProcSource& source);

}  // namespace faultline
