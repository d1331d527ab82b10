#include "kernel/fs/proc_settings.hpp"

#include <array>
#include <optional>

#include "kernel/fs/file_lease.hpp"
#include "kernel/fs/file_system.hpp"
#include "kernel/fs/pipe.hpp"
#include "kernel/fs/proc_inodes.hpp"
#include "kernel/lib/decimal.hpp"
#include "kernel/lib/format.hpp"

namespace faultline::proc {
namespace {

Result<std::uint64_t> number_written(IoBuffer& buffer) {
  char space[32];
  const auto number = parse_decimal<std::uint64_t>(TRY(word_written(buffer, space)));
  if (!number) return failure(KernelError::InvalidArgument);
  return *number;
}

/// 1: pages of files; 2: inodes and the file systems' own blocks; 3: both. What is not on the disk yet stays,
/// so one says `sync` first.
Result<> drop_caches(std::uint64_t which) {
  if (which < 1 || which > 3) return failure(KernelError::InvalidArgument);
  if ((which & 1) != 0) drop_cached_pages();
  if ((which & 2) != 0) (void)drop_file_system_caches();
  return {};
}

struct Entry {
  std::uint64_t parent;
  std::uint64_t number;
  std::string_view name;
  Result<> (*set)(std::uint64_t value);  // null for a directory
  std::size_t (*get)() = nullptr;        // null: cannot be read
  FileKind kind() const { return set != nullptr ? FileKind::Regular : FileKind::Directory; }
};
constexpr std::uint64_t kMemory = number_of::kSettings + 1;
constexpr std::uint64_t kFiles = kMemory + 2;
constexpr Entry kEntries[] = {
    {number_of::kRoot, number_of::kSettings, "sys", nullptr},
    {number_of::kSettings, kMemory, "vm", nullptr},
    {kMemory, kMemory + 1, "drop_caches", drop_caches},
    {number_of::kSettings, kFiles, "fs", nullptr},
    {kFiles, kFiles + 1, "lease-break-time", set_lease_break_time, lease_break_time},
    {kFiles, kFiles + 2, "pipe-max-size", set_pipe_capacity_limit, pipe_capacity_limit},
};
static_assert(kEntries[std::size(kEntries) - 1].number < number_of::kFirstSystemFile);

const Entry* find_directory(std::uint64_t number) {
  for (const Entry& entry : kEntries)
    if (entry.number == number && entry.set == nullptr) return &entry;
  return nullptr;
}

/// A file that takes a number, and tells it where that makes sense.
class SettingFile final : public ProcInode {
 public:
  explicit SettingFile(const Entry& entry)
      : ProcInode(entry.number, FileKind::Regular, entry.get != nullptr ? 0644 : 0200),
        set_(entry.set),
        get_(entry.get) {}

  Result<std::size_t> read_at(std::uint64_t offset, IoBuffer& buffer) override {
    if (get_ == nullptr) return failure(KernelError::InvalidArgument);
    std::array<char, 24> space;
    const std::string_view text = format_into(space, "{}\n", get_());
    const std::size_t before = buffer.transferred();
    TRY(buffer.put(std::as_bytes(std::span(text)).subspan(std::min<std::uint64_t>(offset, text.size()))));
    return buffer.transferred() - before;
  }

  Result<std::size_t> write_at(std::uint64_t& /*offset*/, IoBuffer& buffer, bool /*append*/) override {
    const std::size_t before = buffer.transferred();
    TRY(set_(TRY(number_written(buffer))));
    return buffer.transferred() - before;
  }
  Result<> truncate(std::uint64_t /*size*/) override { return {}; }  // a shell's `>` asks for it

 private:
  Result<> (*set_)(std::uint64_t value);
  std::size_t (*get_)();
};

class SettingsDirectory final : public ProcInode {
 public:
  explicit SettingsDirectory(const Entry& entry)
      : ProcInode(entry.number, FileKind::Directory, 0555), parent_(entry.parent) {}

  Result<Ref<Inode>> lookup(std::string_view name) override {
    if (name == ".") return Ref<Inode>::share(*this);
    if (name == "..") return proc::file_system().directory(parent_);
    for (const Entry& entry : kEntries) {
      if (entry.parent != inode_number() || entry.name != name) continue;
      if (entry.set == nullptr) return settings_directory(entry.number);
      Ref<SettingFile> file = TRY(make_ref<SettingFile>(entry));
      file->set_parent_hint(inode_number());
      return file;
    }
    return failure(KernelError::NoSuchFile);
  }

  Result<> iterate(std::uint64_t& position, DirectoryVisitor& visitor) override {
    for (; position < 2 + std::size(kEntries); ++position) {
      DirectoryEntry shown{position == 0 ? "." : "..", position == 0 ? inode_number() : parent_,
                           FileKind::Directory, position + 1};
      if (position >= 2) {
        const Entry& entry = kEntries[position - 2];
        if (entry.parent != inode_number()) continue;
        shown = {entry.name, entry.number, entry.kind(), position + 1};
      }
      if (!visitor.visit(shown)) return {};
    }
    return {};
  }

 private:
  std::uint64_t parent_;
};

}  // namespace

Result<Ref<Inode>> settings_directory(std::uint64_t number) {
  const Entry* const entry = find_directory(number);
  if (entry == nullptr) return failure(KernelError::NoSuchFile);
  Ref<SettingsDirectory> directory = TRY(make_ref<SettingsDirectory>(*entry));
  directory->set_parent_hint(entry->parent);
  return directory;
}

}  // namespace faultline::proc
