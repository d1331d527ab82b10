#include "kernel/fs/devfs.hpp"

#include <algorithm>
#include <atomic>

#include "kernel/dev/console.hpp"
#include "kernel/fs/open_file.hpp"

namespace faultline {
namespace {

constexpr std::uint64_t kDeviceOfFileSystem = DeviceNumber{0, 5}.encoded();
constexpr std::uint64_t kRootNumber = 1;
constexpr std::size_t kMaxDevices = 16;

class DeviceFileSystem final : public FileSystem {
 public:
  constexpr DeviceFileSystem() = default;
  std::string_view type() const override { return "devtmpfs"; }
  std::string_view source() const override { return "dev"; }
  bool read_only() const override { return false; }
  Ref<Inode> root() override { return root_; }
  FileSystemStatistics statistics() override { return {.magic = 0x01021994}; }
  Result<Ref<Inode>> directory(std::uint64_t number) override {
    if (number != kRootNumber) return failure(KernelError::NoSuchFile);
    return root_;
  }
  void set_root(Ref<Inode> root) { root_ = std::move(root); }

 private:
  Ref<Inode> root_;
};
constinit DeviceFileSystem file_system;

class DeviceInode final : public Inode {
 public:
  DeviceInode(std::uint64_t number, DeviceNumber device, std::uint32_t permissions)
      : number_(number), device_(device), permissions_(permissions), made_(current_time()) {}

  FileSystem& file_system() const override { return faultline::file_system; }
  FileKind kind() const override { return FileKind::CharacterDevice; }
  Stat stat() const override {
    Stat stat;
    stat.device = kDeviceOfFileSystem;
    stat.inode = number_;
    stat.mode = mode::kCharacterDevice | permissions_.load(std::memory_order_relaxed);
    stat.links = 1;
    stat.user = user_.load(std::memory_order_relaxed);
    stat.group = group_.load(std::memory_order_relaxed);
    stat.special = device_;
    stat.accessed = stat.modified = stat.changed = made_;
    return stat;
  }
  Result<> change_attributes(const AttributeChange& change) override {
    if (change.permissions)
      permissions_.store(*change.permissions & mode::kPermissions, std::memory_order_relaxed);
    if (change.user) user_.store(*change.user, std::memory_order_relaxed);
    if (change.group) group_.store(*change.group, std::memory_order_relaxed);
    return {};
  }
  // O_TRUNC on a device does nothing.
  Result<> truncate(std::uint64_t) override { return failure(KernelError::InvalidArgument); }

 private:
  std::uint64_t number_;
  DeviceNumber device_;
  std::atomic<std::uint32_t> permissions_, user_ = 0, group_ = 0;
  Timestamp made_;
};

// Entries are added at start-up and never removed: readers see count_ after the entry below it is complete.
struct Device {
  std::string_view name;
  DeviceNumber number;
  DeviceOpener open = nullptr;
  Ref<Inode> inode;
};
constinit Device devices[kMaxDevices];
constinit std::atomic<std::size_t> device_count = 0;
SpinLock registration_lock{LockRank::FileSystem};

std::span<Device> all_devices() { return {devices, device_count.load(std::memory_order_acquire)}; }

class DeviceDirectory final : public Inode {
 public:
  DeviceDirectory() : made_(current_time()) {}
  FileSystem& file_system() const override { return faultline::file_system; }
  FileKind kind() const override { return FileKind::Directory; }
  Stat stat() const override {
    Stat stat;
    stat.device = kDeviceOfFileSystem;
    stat.inode = kRootNumber;
    stat.mode = mode::kDirectory | 0755;
    stat.links = 2;
    stat.accessed = stat.modified = stat.changed = made_;
    return stat;
  }
  Result<Ref<Inode>> lookup(std::string_view name) override {
    if (name == "." || name == "..")
      return Ref<Inode>::share(*this);  // the walk goes up past mount points itself
    for (const Device& device : all_devices())
      if (device.name == name) return device.inode;
    return failure(KernelError::NoSuchFile);
  }
  Result<> iterate(std::uint64_t& position, DirectoryVisitor& visitor) override {
    for (; position < 2 + all_devices().size(); ++position) {
      const bool special = position < 2;
      const DirectoryEntry entry =
          special ? DirectoryEntry{position == 0 ? "." : "..", kRootNumber, FileKind::Directory, position + 1}
                  : DirectoryEntry{devices[position - 2].name, devices[position - 2].inode->inode_number(),
                                   FileKind::CharacterDevice, position + 1};
      if (!visitor.visit(entry)) break;
    }
    return {};
  }

 private:
  Timestamp made_;
};

}  // namespace

Result<> register_character_device(std::string_view name, DeviceNumber number, std::uint32_t permissions,
                                   DeviceOpener open) {
  const std::size_t guess = device_count.load(std::memory_order_relaxed);
  Ref<DeviceInode> inode = TRY(make_ref<DeviceInode>(kRootNumber + 1 + guess, number, permissions));
  inode->set_parent_hint(kRootNumber);
  SpinGuard guard(registration_lock);
  const std::size_t index = device_count.load(std::memory_order_relaxed);
  if (index != guess) return failure(KernelError::Busy);
  if (index == kMaxDevices) return failure(KernelError::NoSpace);
  for (const Device& device : all_devices())
    if (device.name == name || device.number == number) return failure(KernelError::AlreadyExists);
  devices[index] = {name, number, open, std::move(inode)};
  device_count.store(index + 1, std::memory_order_release);
  return {};
}

Result<Ref<OpenFile>> open_character_device(Ref<Inode> inode, OpenFlags flags) {
  const DeviceNumber number = inode->stat().special;
  for (const Device& device : all_devices())
    if (device.number == number) return device.open(std::move(inode), flags);
  return failure(KernelError::NoSuchAddress);
}

Result<FileSystem*> start_device_file_system() {
  if (!file_system.root()) file_system.set_root(TRY(make_ref<DeviceDirectory>()));
  return &file_system;
}

}  // namespace faultline
