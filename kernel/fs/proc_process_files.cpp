// Files of /proc about one process.

#include "kernel/fs/file_system.hpp"
#include "kernel/fs/path.hpp"
#include "kernel/fs/proc_files.hpp"

namespace faultline::proc {
namespace {

// The name in parentheses may hold anything, closing parentheses included: readers look for the last one.
Result<> stat(ProcSource& source, ProcessId id, WindowSink& sink) {
  const ProcessReport p = TRY(source.process(id));
  const MemoryReport memory = TRY(source.memory(id));
  format_to(sink, "{} ({}) {} {} {} {} {} {} ", p.id, p.name, p.state, p.parent, p.group, p.session,
            p.terminal, p.terminal_group);
  format_to(sink, "0 {} 0 {} 0 {} {} {} {} ", p.minor_faults, p.major_faults, p.user_ticks, p.system_ticks,
            p.children_user_ticks, p.children_system_ticks);
  format_to(sink, "{} {} {} 0 {} {} {} 18446744073709551615 ", 20 + p.nice, p.nice, p.threads, p.start_ticks,
            memory.virtual_pages * kPageSize, memory.resident_pages);
  format_to(sink, "0 0 0 0 0 {} {} {} {} 0 0 0 17 {} 0 0 0 0 0 0 0 0 0 0 0 0 0\n", p.signals_pending,
            p.signals_blocked, p.signals_ignored, p.signals_caught, p.last_hart);
  return {};
}

Result<> memory_pages(ProcSource& source, ProcessId id, WindowSink& sink) {
  const MemoryReport p = TRY(source.memory(id));
  format_to(sink, "{} {} {} {} 0 {} 0\n", p.virtual_pages, p.resident_pages, p.shared_pages, p.text_pages,
            p.data_pages);
  return {};
}

std::string_view words_for(char state) {
  switch (state) {
    case 'R':
      return "running";
    case 'S':
      return "sleeping";
    case 'D':
      return "disk sleep";
    case 'T':
      return "stopped";
    case 'Z':
      return "zombie";
    default:
      return "unknown";
  }
}

Result<> status(ProcSource& source, ProcessId id, WindowSink& sink) {
  const ProcessReport p = TRY(source.process(id));
  const MemoryReport memory = TRY(source.memory(id));
  const auto kibibytes = [](std::uint64_t pages) { return pages * kPageSize / 1024; };
  format_to(sink, "Name:\t{}\nState:\t{} ({})\nTgid:\t{}\nPid:\t{}\nPPid:\t{}\n", p.name, p.state,
            words_for(p.state), p.id, p.id, p.parent);
  format_to(sink, "Uid:\t{}\t{}\t{}\t{}\nGid:\t{}\t{}\t{}\t{}\n", p.user, p.effective_user, p.effective_user,
            p.effective_user, p.group_id, p.effective_group, p.effective_group, p.effective_group);
  format_to(
      sink,
      "VmSize:\t{:>8} kB\nVmLck:\t{:>8} kB\nVmRSS:\t{:>8} kB\nRssAnon:\t{:>8} kB\nRssShared:\t{:>8} kB\n",
      kibibytes(memory.virtual_pages), kibibytes(memory.locked_pages), kibibytes(memory.resident_pages),
      kibibytes(memory.resident_pages - std::min(memory.resident_pages, memory.shared_pages)),
      kibibytes(memory.shared_pages));
  format_to(sink, "VmData:\t{:>8} kB\nVmExe:\t{:>8} kB\nThreads:\t{}\n", kibibytes(memory.data_pages),
            kibibytes(memory.text_pages), p.threads);
  format_to(sink, "SigPnd:\t{:016x}\nSigBlk:\t{:016x}\nSigIgn:\t{:016x}\nSigCgt:\t{:016x}\n",
            p.signals_pending, p.signals_blocked, p.signals_ignored, p.signals_caught);
  // Not of Linux; what has ended has no memory, and no policy over it.
  if (const Result<PagerTraits> policy = source.pager(id)) format_to(sink, "Pager:\t{}\n", policy->name);
  return {};
}

/// Not of Linux: tests and people learn from it what to expect.
Result<> pager(ProcSource& source, ProcessId id, WindowSink& sink) {
  const PagerTraits traits = TRY(source.pager(id));
  const auto answer = [](bool promised) { return promised ? "yes" : "no"; };
  format_to(sink, "pager {}\nloads_in_mmap {}\nmay_load_neighbours {}\ncopies_in_fork {}\n", traits.name,
            answer(traits.loads_in_mmap), answer(traits.may_load_neighbours), answer(traits.copies_in_fork));
  return {};
}

Result<> choose_pager(ProcSource& source, std::string_view name) { return source.choose_pager(name); }

Result<> name(ProcSource& source, ProcessId id, WindowSink& sink) {
  const ProcessReport p = TRY(source.process(id));
  format_to(sink, "{}\n", p.name);
  return {};
}

Result<> command_line(ProcSource& source, ProcessId id, WindowSink& sink) {
  char space[256];
  for (std::uint64_t offset = 0; !sink.full();) {
    const std::size_t count = TRY(source.command_line(id, offset, std::as_writable_bytes(std::span(space))));
    if (count == 0) break;
    sink.write({space, count});
    offset += count;
  }
  return {};
}

// A few areas at a time, as they were at one moment. Names are looked up when the process's memory is no
// longer locked: that may read directories, and whoever reads a directory may wait for that lock.
class AreaBatch final : public AreaVisitor {
 public:
  struct Area {
    AreaReport report;
    Ref<Inode> file;
    char label[16] = {};
  };
  bool visit(const AreaReport& report) override {
    Area& area = areas_[count_++];
    area.report = report;
    area.file = report.file != nullptr ? Ref<Inode>::share(*report.file) : nullptr;
    area.label[report.label.copy(area.label, sizeof(area.label) - 1)] = '\0';
    return count_ < std::size(areas_);
  }
  std::span<const Area> areas() const { return {areas_, count_}; }
  bool full() const { return count_ == std::size(areas_); }

 private:
  Area areas_[16];
  std::size_t count_ = 0;
};

// "start-end perms offset device inode path", the path in a column of its own.
void write_area(const AreaBatch::Area& area, WindowSink& sink) {
  constexpr std::size_t kNameColumn = 73;
  const AreaReport& report = area.report;
  const std::uint64_t device = area.file ? area.file->device_number() : 0;
  const DeviceNumber number = DeviceNumber::decode(static_cast<std::uint32_t>(device));
  char line_space[128];
  const std::string_view line =
      format_into(line_space, "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {}", report.range.start().value(),
                  report.range.end().value(), report.read ? 'r' : '-', report.write ? 'w' : '-',
                  report.execute ? 'x' : '-', report.shared ? 's' : 'p', report.offset, number.major,
                  number.minor, area.file ? area.file->inode_number() : 0);
  sink.write(line);
  char name_space[512];
  std::string_view name = area.label;
  if (area.file) {
    const Result<std::size_t> length = describe_file(*area.file, name_space);
    if (length) name = {name_space, *length};
  }
  if (!name.empty()) {
    for (std::size_t column = line.size(); column == line.size() || column < kNameColumn; ++column)
      sink.write(" ");
    sink.write(name);
  }
  sink.write("\n");
}

Result<> maps(ProcSource& source, ProcessId id, WindowSink& sink) {
  std::uint64_t from = 0;
  for (bool more = true; more && !sink.full();) {
    const Box<AreaBatch> batch = TRY(make_box<AreaBatch>());
    TRY(source.areas(id, from, *batch));
    for (const AreaBatch::Area& area : batch->areas()) {
      write_area(area, sink);
      from = area.report.range.end().value();
    }
    more = batch->full();
  }
  return {};
}

constexpr ProcessFile kFiles[] = {
    {"stat", stat},
    {"statm", memory_pages},
    {"status", status},
    {"comm", name},
    {"cmdline", command_line},
    {"maps", maps, Audience::Inspectors},
    {"pager", pager, Audience::Everybody, choose_pager},
};

}  // namespace

std::span<const ProcessFile> process_files() { return kFiles; }

Result<std::size_t> describe_file(Inode& inode, std::span<char> space) {
  const Ref<Inode> root = root_directory();
  const Result<std::size_t> length = path_of(inode, *root, space);
  if (length || length.error() != KernelError::NoSuchFile) return length;
  if (inode.kind() == FileKind::Fifo) return format_into(space, "pipe:[{}]", inode.inode_number()).size();
  return format_into(space, "inode:[{}] (deleted)", inode.inode_number()).size();
}

}  // namespace faultline::proc
