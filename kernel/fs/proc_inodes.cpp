#include "kernel/fs/proc_inodes.hpp"

#include <algorithm>

#include "kernel/fs/file_system.hpp"
#include "kernel/fs/path.hpp"
#include "kernel/lib/decimal.hpp"

namespace faultline::proc {
namespace {

constexpr std::uint64_t kDevice = DeviceNumber{0, 4}.encoded();

Result<ProcSource*> source() {
  ProcSource* source = process_source();
  if (source == nullptr) return failure(KernelError::NoSuchProcess);
  return source;
}

Result<> check_inspection(ProcessId id) { return TRY(source())->check_inspection(id); }

/// A file whose text is made when it is read.
class TextFile final : public ProcInode {
 public:
  TextFile(std::uint64_t number, const SystemFile& file)
      : ProcInode(number, FileKind::Regular, file.permissions), system_(file.text) {}
  TextFile(std::uint64_t number, const ProcessFile& file)
      : ProcInode(number, FileKind::Regular, file.set != nullptr ? 0644 : 0444),
        process_(file.text),
        set_(file.set),
        audience_(file.audience) {}

  // Whoever may open it may read it, whoever he is by then.
  Result<Ref<OpenFile>> open(const OpenFlags& flags) override {
    if (audience_ == Audience::Inspectors) TRY(check_inspection(process()));
    return Inode::open(flags);
  }

  Result<std::size_t> read_at(std::uint64_t offset, IoBuffer& buffer) override {
    struct Space {
      char text[kPageSize];
    };
    const Box<Space> space = TRY(make_box<Space>());
    const std::size_t before = buffer.transferred();
    Result<> outcome;
    while (outcome && buffer.remaining() > 0) {
      WindowSink sink(offset, std::span(space->text).first(std::min(sizeof(Space), buffer.remaining())));
      outcome = write_text(sink);
      if (!outcome || sink.text().empty()) break;
      outcome = buffer.put(std::as_bytes(std::span(sink.text())));
      offset += sink.text().size();
    }
    return buffer.outcome(before, outcome);
  }

  Result<std::size_t> write_at(std::uint64_t& /*offset*/, IoBuffer& buffer, bool /*append*/) override {
    ProcSource* from = TRY(source());
    if (set_ == nullptr || process() != from->current()) return failure(KernelError::NotPermitted);
    const std::size_t before = buffer.transferred();
    char space[32];
    TRY(set_(*from, TRY(word_written(buffer, space))));
    return buffer.transferred() - before;
  }
  Result<> truncate(std::uint64_t size) override {
    return set_ != nullptr ? Result<>() : Inode::truncate(size);  // a shell's `>` asks for it
  }

 private:
  Result<> write_text(WindowSink& sink) {
    ProcSource* from = TRY(source());
    if (process_ != nullptr) return process_(*from, process(), sink);
    system_(*from, sink);
    return {};
  }

  SystemText system_ = nullptr;
  ProcessText process_ = nullptr;
  decltype(ProcessFile::set) set_ = nullptr;
  Audience audience_ = Audience::Everybody;
};

/// A file that is an array of 64-bit entries, each found when it is read. Reads are of whole entries.
class EntryArrayFile : public ProcInode {
 public:
  Result<std::size_t> read_at(std::uint64_t offset, IoBuffer& buffer) final {
    constexpr std::size_t kEntry = sizeof(std::uint64_t);
    if (offset % kEntry != 0 || buffer.remaining() % kEntry != 0)
      return failure(KernelError::InvalidArgument);
    ProcSource* from = TRY(source());
    const std::size_t before = buffer.transferred();
    Result<> outcome;
    for (std::uint64_t index = offset / kEntry; outcome && buffer.remaining() > 0;) {
      std::uint64_t entries[64];
      std::size_t count = 0;
      for (; count < std::min(std::size(entries), buffer.remaining() / kEntry); ++count, ++index) {
        const Result<std::optional<std::uint64_t>> found = entry(*from, index);
        if (!found) return buffer.outcome(before, failure(found.error()));
        if (!*found) break;
        entries[count] = **found;
      }
      if (count == 0) break;
      outcome = buffer.put(std::as_bytes(std::span(entries, count)));
    }
    return buffer.outcome(before, outcome);
  }

 protected:
  explicit EntryArrayFile(std::uint64_t number) : ProcInode(number, FileKind::Regular, 0400) {}

 private:
  /// Nothing past the last entry.
  virtual Result<std::optional<std::uint64_t>> entry(ProcSource& from, std::uint64_t index) = 0;
};

/// One entry for each page of the process's address space.
class PageMapFile final : public EntryArrayFile {
 public:
  explicit PageMapFile(ProcessId id) : EntryArrayFile(number_of::of(id, number_of::kPageMap)) {}

  Result<Ref<OpenFile>> open(const OpenFlags& flags) override {
    TRY(check_inspection(process()));
    return Inode::open(flags);
  }

 private:
  Result<std::optional<std::uint64_t>> entry(ProcSource& from, std::uint64_t page) override {
    constexpr std::uint64_t kFrameNumber = (std::uint64_t{1} << 55) - 1;
    if (page >= kUserEnd / kPageSize) return std::nullopt;
    const std::uint64_t found = TRY(from.page_map(process(), Va::checked(page * kPageSize)));
    return from.sees_frame_numbers() ? found : found & ~kFrameNumber;
  }
};

/// One entry for each frame of memory: how many owners it has.
class FrameCountFile final : public EntryArrayFile {
 public:
  FrameCountFile() : EntryArrayFile(number_of::kFrameCounts) {}

 private:
  Result<std::optional<std::uint64_t>> entry(ProcSource& from, std::uint64_t frame) override {
    return from.frame_owners(frame);
  }
};

/// exe, cwd, root, and the links in fd: to the file itself, whatever its names are.
class FileLink final : public ProcInode {
 public:
  FileLink(ProcessId id, std::uint32_t entry)
      : ProcInode(number_of::of(id, entry), FileKind::SymbolicLink, 0777), entry_(entry) {}

  Ref<Inode> link_target() override {
    Result<Ref<Inode>> file = target();
    return file ? *std::move(file) : nullptr;
  }
  Result<std::size_t> read_link(std::span<char> space) override {
    const Ref<Inode> file = TRY(target());
    if (!file) return failure(KernelError::NoSuchFile);
    return describe_file(*file, space);
  }

 private:
  Result<Ref<Inode>> target() {
    ProcSource* from = TRY(source());
    TRY(from->check_inspection(process()));
    switch (entry_) {
      case number_of::kExecutable:
        return from->executable(process());
      case number_of::kWorkingDirectory:
        return from->working_directory(process());
      case number_of::kRootLink:
        return root_directory();
      default:
        break;
    }
    const Ref<OpenFile> file =
        TRY(from->open_file(process(), static_cast<int>(entry_ - number_of::kFirstDescriptor)));
    if (file->inode() == nullptr) return failure(KernelError::NoSuchFile);
    return Ref<Inode>::share(*file->inode());
  }
  std::uint32_t entry_;
};

class SelfLink final : public ProcInode {
 public:
  SelfLink() : ProcInode(number_of::kSelf, FileKind::SymbolicLink, 0777) {}
  Result<std::size_t> read_link(std::span<char> target) override {
    ProcSource* from = TRY(source());
    char text[16];
    const std::string_view number = format_into(text, "{}", from->current());
    number.copy(target.data(), target.size());
    return number.size();
  }
};

template <class File, class... Arguments>
Result<Ref<Inode>> make(std::uint64_t parent, Arguments... arguments) {
  Ref<File> file = TRY(make_ref<File>(arguments...));
  file->set_parent_hint(parent);
  return file;
}

/// /proc/PID/fd
class DescriptorDirectory final : public ProcInode {
 public:
  explicit DescriptorDirectory(ProcessId id)
      : ProcInode(number_of::of(id, number_of::kDescriptors), FileKind::Directory, 0500) {}

  Result<Ref<Inode>> lookup(std::string_view name) override {
    if (name == ".") return Ref<Inode>::share(*this);
    if (name == "..") return process_directory(process(), number_of::kProcessDirectory);
    const auto descriptor = parse_decimal<int>(name);
    if (!descriptor) return failure(KernelError::NoSuchFile);
    ProcSource* from = TRY(source());
    if (!from->open_file(process(), *descriptor)) return failure(KernelError::NoSuchFile);
    return make<FileLink>(inode_number(), process(),
                          number_of::kFirstDescriptor + static_cast<std::uint32_t>(*descriptor));
  }

  Result<> iterate(std::uint64_t& position, DirectoryVisitor& visitor) override {
    ProcSource* from = TRY(source());
    for (; position < 2; ++position) {
      const std::uint64_t number =
          position == 0 ? inode_number() : number_of::of(process(), number_of::kProcessDirectory);
      if (!visitor.visit({position == 0 ? "." : "..", number, FileKind::Directory, position + 1})) return {};
    }
    // The position of a descriptor is its number + 2; that behind it, one more.
    while (const auto next = TRY(from->next_descriptor(process(), static_cast<int>(position) - 3))) {
      char text[16];
      const auto descriptor = static_cast<std::uint32_t>(*next);
      const DirectoryEntry entry{format_into(text, "{}", descriptor),
                                 number_of::of(process(), number_of::kFirstDescriptor + descriptor),
                                 FileKind::SymbolicLink, descriptor + std::uint64_t{3}};
      if (!visitor.visit(entry)) return {};
      position = entry.next;
    }
    return {};
  }
};

/// /proc/PID
class ProcessDirectory final : public ProcInode {
 public:
  explicit ProcessDirectory(ProcessId id)
      : ProcInode(number_of::of(id, number_of::kProcessDirectory), FileKind::Directory, 0555) {}

  Result<Ref<Inode>> lookup(std::string_view name) override {
    if (name == ".") return Ref<Inode>::share(*this);
    if (name == "..") return proc::file_system().root();
    for (const Special& special : kSpecials)
      if (special.name == name) return make_special(special);
    const std::span<const ProcessFile> files = process_files();
    for (std::uint32_t i = 0; i < files.size(); ++i)
      if (files[i].name == name)
        return make<TextFile>(inode_number(), number_of::of(process(), number_of::kFirstProcessFile + i),
                              files[i]);
    return failure(KernelError::NoSuchFile);
  }

  Result<> iterate(std::uint64_t& position, DirectoryVisitor& visitor) override {
    const std::span<const ProcessFile> files = process_files();
    for (; position < 2 + std::size(kSpecials) + files.size(); ++position) {
      DirectoryEntry entry{};
      if (position < 2) {
        entry = {position == 0 ? "." : "..", position == 0 ? inode_number() : number_of::kRoot,
                 FileKind::Directory, 0};
      } else if (position < 2 + std::size(kSpecials)) {
        const Special& special = kSpecials[position - 2];
        entry = {special.name, number_of::of(process(), special.entry), special.kind, 0};
      } else {
        const auto i = static_cast<std::uint32_t>(position - 2 - std::size(kSpecials));
        entry = {files[i].name, number_of::of(process(), number_of::kFirstProcessFile + i), FileKind::Regular,
                 0};
      }
      entry.next = position + 1;
      if (!visitor.visit(entry)) break;
    }
    return {};
  }

 private:
  struct Special {
    std::string_view name;
    std::uint32_t entry;
    FileKind kind;
  };
  static constexpr Special kSpecials[] = {
      {"exe", number_of::kExecutable, FileKind::SymbolicLink},
      {"cwd", number_of::kWorkingDirectory, FileKind::SymbolicLink},
      {"root", number_of::kRootLink, FileKind::SymbolicLink},
      {"fd", number_of::kDescriptors, FileKind::Directory},
      {"pagemap", number_of::kPageMap, FileKind::Regular},
  };
  Result<Ref<Inode>> make_special(const Special& special) {
    if (special.entry == number_of::kDescriptors) return process_directory(process(), special.entry);
    if (special.entry == number_of::kPageMap) return make<PageMapFile>(inode_number(), process());
    return make<FileLink>(inode_number(), process(), special.entry);
  }
};

}  // namespace

ProcInode::ProcInode(std::uint64_t number, FileKind kind, std::uint32_t permissions)
    : number_(number), kind_(kind), permissions_(permissions) {}

Stat ProcInode::stat() const {
  Stat stat;
  stat.device = kDevice;
  stat.inode = number_;
  stat.mode = mode::bits_of(kind_) | permissions_;
  stat.links = kind_ == FileKind::Directory ? 2 : 1;
  stat.accessed = stat.modified = stat.changed = current_time();
  ProcSource* source = process_source();
  if (process() != 0 && source != nullptr) {
    const Result<ProcessReport> owner = source->process(process());
    // What its user may not look into is root's. But a process always finds its own descriptors.
    const std::uint32_t entry = number_of::entry(number_);
    const bool own_list = entry == number_of::kDescriptors && process() == source->current();
    if (owner && (owner->dumpable || entry == number_of::kProcessDirectory || own_list)) {
      stat.user = owner->effective_user;
      stat.group = owner->effective_group;
    }
  }
  return stat;
}

Result<std::string_view> word_written(IoBuffer& buffer, std::span<char> space) {
  constexpr std::string_view kWhiteSpace = " \t\n";
  if (buffer.remaining() > space.size()) return failure(KernelError::InvalidArgument);
  const auto bytes = space.first(buffer.remaining());
  TRY(buffer.get(std::as_writable_bytes(bytes)));
  std::string_view word(bytes.data(), bytes.size());
  word.remove_prefix(std::min(word.find_first_not_of(kWhiteSpace), word.size()));
  return word.substr(0, word.find_last_not_of(kWhiteSpace) + 1);
}

Result<Ref<Inode>> system_file(std::size_t index) {
  return make<TextFile>(number_of::kRoot, number_of::kFirstSystemFile + index, system_files()[index]);
}

Result<Ref<Inode>> frame_counts() { return make<FrameCountFile>(number_of::kRoot); }
Result<Ref<Inode>> self_link() { return make<SelfLink>(number_of::kRoot); }

Result<Ref<Inode>> process_directory(ProcessId id, std::uint32_t entry) {
  ProcSource* from = process_source();
  if (from == nullptr || !from->process(id)) return failure(KernelError::NoSuchFile);
  if (entry == number_of::kDescriptors) return make<DescriptorDirectory>(number_of::of(id, 0), id);
  if (entry == number_of::kProcessDirectory) return make<ProcessDirectory>(number_of::kRoot, id);
  return failure(KernelError::NoSuchFile);
}

}  // namespace faultline::proc
