#pragma once
// A mounted ext2 file system on a disk in memory, and the calls of programs as short functions.

#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/fs/ext2_file_system.hpp"
#include "kernel/fs/open_file.hpp"
#include "kernel/fs/path.hpp"
#include "test/host/fs/ext2_tools.hpp"
#include "test/host/fs/memory_disk.hpp"
#include "test/host/world.hpp"

namespace faultline::sim {

/// What the kernel has printed since the last call.
std::string take_console();
void advance_clock(std::int64_t seconds);
/// Whether a file system has said since the last call that it has something to write.
bool take_change_note();
/// What relieve_memory() does from now on; nothing gives nothing.
void set_relief(std::function<bool()> give_up);

/// The error of a result, or nothing when it is a success.
template <class T>
std::optional<KernelError> error_of(const Result<T>& result) {
  return result ? std::nullopt : std::optional(result.error());
}

class Mounted {
 public:
  explicit Mounted(std::vector<std::byte> image) : disk(std::move(image)) {
    take_console();
    mount();
  }
  explicit Mounted(const ImageKind& kind) : Mounted(make_image(kind)) {}
  /// A disk that may be too damaged to be mounted: file_system is null then.
  enum class May { Fail };
  Mounted(std::vector<std::byte> image, May) : disk(std::move(image)) {
    take_console();
    if (auto mounted = ext2::Ext2FileSystem::mount(disk)) file_system = *std::move(mounted);
  }
  ~Mounted() { file_system.reset(); }

  void mount() {
    auto mounted = ext2::Ext2FileSystem::mount(disk);
    INFO("console: " << take_console());
    REQUIRE(mounted.has_value());
    file_system = *std::move(mounted);
  }
  void unmount() {
    REQUIRE(file_system->unmount().has_value());
    file_system.reset();
  }
  void remount() {
    unmount();
    mount();
  }
  /// Unmounts, and lets e2fsck judge.
  void check_clean() {
    unmount();
    const std::string objections = check_image(disk.bytes);
    CHECK(objections == "");
    CHECK(disk.malformed == 0);
    mount();
  }

  Result<Ref<OpenFile>> open(std::string_view path, std::uint32_t flags, std::uint32_t permissions = 0644) {
    const Ref<Inode> root = file_system->root();
    const PathContext context{root.get(), root.get(), credentials};
    return open_path(context, path, OpenFlags{flags}, permissions);
  }
  Result<Ref<Inode>> find(std::string_view path, FollowLast follow = FollowLast::No) {
    const Ref<Inode> root = file_system->root();
    const PathContext context{root.get(), root.get(), credentials};
    return resolve(context, path, follow);
  }
  template <class Operation>
  auto with_context(Operation operation) {
    const Ref<Inode> root = file_system->root();
    const PathContext context{root.get(), root.get(), credentials};
    return operation(context);
  }

  /// Writes at an offset, creating the file if need be; the number of bytes written.
  Result<std::size_t> write(std::string_view path, std::uint64_t offset, std::string_view bytes) {
    const Ref<OpenFile> file = TRY(open(path, OpenFlags::kWriteOnly | OpenFlags::kCreate));
    KernelIoBuffer buffer(std::as_bytes(std::span(bytes)));
    return file->write_at(offset, buffer);
  }
  Result<std::string> read(std::string_view path, std::uint64_t offset, std::size_t size) {
    const Ref<OpenFile> file = TRY(open(path, OpenFlags::kReadOnly));
    std::string text(size, '\0');
    KernelIoBuffer buffer(std::as_writable_bytes(std::span(text)));
    text.resize(TRY(file->read_at(offset, buffer)));
    return text;
  }
  Result<> truncate(std::string_view path, std::uint64_t size) { return TRY(find(path))->truncate(size); }
  Result<> mkdir(std::string_view path) {
    return with_context([&](const PathContext& context) -> Result<> {
      TRY(create_path(context, path, {.kind = FileKind::Directory, .permissions = 0755}));
      return {};
    });
  }
  Result<> rmdir(std::string_view path) {
    return with_context([&](const PathContext& c) { return remove_directory_path(c, path); });
  }
  Result<> unlink(std::string_view path) {
    return with_context([&](const PathContext& c) { return unlink_path(c, path); });
  }
  Result<> link(std::string_view old_path, std::string_view new_path) {
    return with_context(
        [&](const PathContext& c) { return link_path(c, old_path, FollowLast::No, c, new_path); });
  }
  Result<> symlink(std::string_view target, std::string_view path) {
    return with_context([&](const PathContext& c) { return make_symbolic_link_path(c, path, target); });
  }
  Result<> rename(std::string_view from, std::string_view to, RenameMode mode = RenameMode::Replace) {
    return with_context([&](const PathContext& c) { return rename_path(c, from, c, to, mode); });
  }
  Result<std::string> readlink(std::string_view path) {
    std::string text(4096, '\0');
    text.resize(TRY(TRY(find(path))->read_link(text)));
    return text;
  }
  Result<std::set<std::string>> list(std::string_view path) {
    class Names final : public DirectoryVisitor {
     public:
      bool visit(const DirectoryEntry& entry) override {
        names.insert(std::string(entry.name));
        return true;
      }
      std::set<std::string> names;
    } names;
    std::uint64_t position = 0;
    TRY(TRY(find(path))->iterate(position, names));
    return names.names;
  }
  Stat stat(std::string_view path) {
    const auto inode = find(path);
    REQUIRE(inode.has_value());
    return (*inode)->stat();
  }

  World world;
  MemoryDisk disk;
  FileCredentials credentials;
  Box<ext2::Ext2FileSystem> file_system;
};

}  // namespace faultline::sim
