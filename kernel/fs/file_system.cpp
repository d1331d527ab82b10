#include "kernel/fs/file_system.hpp"

#include <algorithm>

#include "kernel/dev/block_device.hpp"
#include "kernel/dev/console.hpp"
#include "kernel/fs/devfs.hpp"
#include "kernel/fs/ext2_file_system.hpp"
#include "kernel/fs/memory_devices.hpp"
#include "kernel/fs/procfs.hpp"
#include "kernel/fs/write_back.hpp"

namespace faultline {
namespace {

// Filled at start-up, before there is a second thread that reads it, and never changed again.
constexpr std::size_t kMaxMounts = 4;
FileSystem* mounts[kMaxMounts] = {};
std::size_t mount_count = 0;

// A file system of the kernel's own, on a directory of the disk. The system goes on without it.
void mount_on_name(Result<FileSystem*> mounted, std::string_view name) {
  const Result<> outcome = [&]() -> Result<> {
    FileSystem* file_system = TRY(Result<FileSystem*>(mounted));
    return mount_at(*file_system, TRY(mounts[0]->root()->lookup(name)));
  }();
  if (!outcome) print("faultline: /{} is not mounted: {}\n", name, describe(outcome.error()));
}

Result<FileSystem*> start_devices() {
  TRY(register_memory_devices());
  return start_device_file_system();
}

}  // namespace

FileSystem* detail::mounted_file_system(std::size_t index) {
  return index < mount_count ? mounts[index] : nullptr;
}

Result<> mount_root(std::span<BlockDevice* const> disks) {
  ASSERT(mount_count == 0 && !disks.empty());
  Result<Box<ext2::Ext2FileSystem>> root = failure(KernelError::NoSuchFile);
  for (BlockDevice* const disk : disks) {
    root = ext2::Ext2FileSystem::mount(*disk);
    if (!root) continue;
    if (disks.size() > 1) print("faultline: the root is on {}\n", disk->name());
    break;
  }
  mounts[mount_count++] = TRY(std::move(root)).release();  // stays until the power goes off
  mount_on_name(start_devices(), "dev");
  mount_on_name(start_process_file_system(), "proc");
  start_write_back();
  return {};
}

Result<> mount_at(FileSystem& mounted, Ref<Inode> directory) {
  if (!directory->is_directory()) return failure(KernelError::NotDirectory);
  if (directory->mounted_here() != nullptr || mount_count == kMaxMounts) return failure(KernelError::Busy);
  mounts[mount_count++] = &mounted;
  directory->set_mounted_here(&mounted);
  mounted.covered_ = std::move(directory);
  return {};
}

Ref<Inode> root_directory() {
  ASSERT(mount_count > 0);
  return mounts[0]->root();
}

Result<> sync_all() {
  Result<> outcome;
  for_each_mount([&](FileSystem& file_system) {
    const Result<> synchronized = file_system.synchronize();
    if (outcome && !synchronized) outcome = synchronized;
  });
  return outcome;
}

std::size_t drop_file_system_caches() {
  std::size_t dropped = 0;
  for_each_mount([&](FileSystem& file_system) { dropped += file_system.drop_caches(); });
  return dropped;
}

void drop_cached_pages() {
  // In portions, for the search holds a spin lock; and no more than there were, should others read as fast.
  constexpr std::size_t kPortion = 256;
  for (std::size_t left = PageCache::total_pages(); left > 0;) {
    const std::size_t dropped = PageCache::reclaim(std::min(left, kPortion));
    if (dropped == 0) return;
    left -= dropped;
  }
}

void unmount_all() {
  for_each_mount([](FileSystem& file_system) {
    if (const Result<> outcome = file_system.unmount(); !outcome)
      print("faultline: {}: not everything could be written: {}\n", file_system.source(),
            describe(outcome.error()));
  });
}

}  // namespace faultline
