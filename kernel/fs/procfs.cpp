#include "kernel/fs/procfs.hpp"

#include <algorithm>
#include <atomic>

#include "kernel/fs/path.hpp"
#include "kernel/fs/proc_inodes.hpp"
#include "kernel/fs/proc_settings.hpp"
#include "kernel/lib/decimal.hpp"

namespace faultline {
namespace proc {
namespace {

std::atomic<ProcSource*> registered_source = nullptr;

class ProcFileSystem final : public FileSystem {
 public:
  std::string_view type() const override { return "proc"; }
  std::string_view source() const override { return "proc"; }
  bool read_only() const override { return false; }
  Ref<Inode> root() override { return root_; }
  FileSystemStatistics statistics() override { return {.magic = 0x9fa0}; }
  Result<Ref<Inode>> directory(std::uint64_t number) override {
    if (number == number_of::kRoot) return root_;
    if (number < number_of::kFirstSystemFile) return settings_directory(number);
    return process_directory(number_of::process(number), number_of::entry(number));
  }
  void set_root(Ref<Inode> root) { root_ = std::move(root); }

 private:
  Ref<Inode> root_;
};
constinit ProcFileSystem the_file_system;

/// /proc itself.
class RootDirectory final : public ProcInode {
 public:
  RootDirectory() : ProcInode(number_of::kRoot, FileKind::Directory, 0555) {}

  Result<Ref<Inode>> lookup(std::string_view name) override {
    if (name == "." || name == "..")
      return Ref<Inode>::share(*this);  // the walk goes up past mount points itself
    if (name == "self") return self_link();
    if (name == "kpagecount") return frame_counts();
    if (name == "sys") return settings_directory(number_of::kSettings);
    for (std::size_t i = 0; i < system_files().size(); ++i)
      if (system_files()[i].name == name) return system_file(i);
    const auto id = parse_decimal<ProcessId>(name);
    if (!id || name.front() == '0') return failure(KernelError::NoSuchFile);
    return process_directory(*id, number_of::kProcessDirectory);
  }

  Result<> iterate(std::uint64_t& position, DirectoryVisitor& visitor) override {
    const std::uint64_t files = system_files().size();
    for (; position < kFirstProcess;
         position = position + 1 == kFirstFile + files ? kFirstProcess : position + 1) {
      DirectoryEntry entry{};
      if (position < 2) {
        entry = {position == 0 ? "." : "..", number_of::kRoot, FileKind::Directory, 0};
      } else if (position == 2) {
        entry = {"self", number_of::kSelf, FileKind::SymbolicLink, 0};
      } else if (position == 3) {
        entry = {"kpagecount", number_of::kFrameCounts, FileKind::Regular, 0};
      } else if (position == 4) {
        entry = {"sys", number_of::kSettings, FileKind::Directory, 0};
      } else if (position < kFirstFile + files) {
        const std::uint64_t file = position - kFirstFile;
        entry = {system_files()[file].name, number_of::kFirstSystemFile + file, FileKind::Regular, 0};
      } else {
        position = kFirstProcess;
        break;
      }
      entry.next = position + 1;
      if (!visitor.visit(entry)) return {};
    }
    // A process's position is its number behind the fixed entries: it stays what it is while others come and
    // go.
    ProcSource* source = process_source();
    while (source != nullptr) {
      const auto id = source->next_process(static_cast<ProcessId>(position - kFirstProcess));
      if (!id) break;
      char text[16];
      const DirectoryEntry entry{format_into(text, "{}", *id),
                                 number_of::of(*id, number_of::kProcessDirectory), FileKind::Directory,
                                 kFirstProcess + static_cast<std::uint64_t>(*id)};
      if (!visitor.visit(entry)) return {};
      position = entry.next;
    }
    return {};
  }

 private:
  // Positions.
  static constexpr std::uint64_t kFirstFile = 5, kFirstProcess = 1000;
};

}  // namespace

ProcSource* process_source() { return registered_source.load(std::memory_order_acquire); }
FileSystem& file_system() { return the_file_system; }

}  // namespace proc

void register_proc_source(ProcSource& source) {
  proc::registered_source.store(&source, std::memory_order_release);
}

Result<FileSystem*> start_process_file_system() {
  if (!proc::the_file_system.root()) proc::the_file_system.set_root(TRY(make_ref<proc::RootDirectory>()));
  return &proc::the_file_system;
}

}  // namespace faultline
