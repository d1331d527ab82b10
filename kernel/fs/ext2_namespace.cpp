// Operations on names in an ext2 file system. All of them run under the file system's one namespace lock, so
// each sees and leaves directories and link counts that fit together.

#include <cstring>

#include "kernel/fs/ext2_directory.hpp"
#include "kernel/fs/ext2_file_system.hpp"
#include "kernel/fs/ext2_inode.hpp"

namespace faultline::ext2 {
namespace {

Result<> check_new_name(std::string_view name) {
  if (name.size() > kMaxNameLength) return failure(KernelError::NameTooLong);
  if (name.empty()) return failure(KernelError::NoSuchFile);
  return {};
}

bool is_dot(std::string_view name) { return name == "." || name == ".."; }

StoredInode new_inode(const NewFile& file, const Stat& parent, std::size_t extra_bytes) {
  StoredInode stored;
  RawInode& raw = stored.raw;
  std::uint32_t permissions = file.permissions & mode::kPermissions;
  std::uint32_t group = file.group;
  if ((parent.mode & mode::kSetGroup) != 0) {
    // Files belong to their directory's group, and directories pass that on.
    group = parent.group;
    if (file.kind == FileKind::Directory) permissions |= mode::kSetGroup;
  }
  raw.mode = static_cast<std::uint16_t>(mode::bits_of(file.kind) | permissions);
  raw.user = static_cast<std::uint16_t>(file.user);
  raw.user_high = static_cast<std::uint16_t>(file.user >> 16);
  raw.group = static_cast<std::uint16_t>(group);
  raw.group_high = static_cast<std::uint16_t>(group >> 16);
  raw.links = file.kind == FileKind::Directory ? 2 : 1;
  if (file.kind == FileKind::CharacterDevice || file.kind == FileKind::BlockDevice)
    raw.blocks[1] = static_cast<std::uint32_t>(file.device.encoded());
  const Timestamp now = current_time();
  raw.access_time = raw.change_time = raw.modify_time = static_cast<std::uint32_t>(now.seconds);
  stored.extra.extra_size = static_cast<std::uint16_t>(extra_bytes);
  stored.extra.creation_time = raw.change_time;
  stored.extra.access_time_extra = stored.extra.change_time_extra = stored.extra.modify_time_extra =
      stored.extra.creation_time_extra = now.nanoseconds << 2;
  return stored;
}

}  // namespace

Result<Ref<Inode>> Ext2Inode::lookup(std::string_view name) {
  if (!is_directory()) return failure(KernelError::NotDirectory);
  MutexGuard guard(file_system_.namespace_lock());
  if (links() == 0) {
    // Removed while somebody works in it: the one way that is left is back to where it stood.
    if (name != "..") return failure(KernelError::NoSuchFile);
    return TRY(file_system_.inodes().living_directory(parent_hint()));
  }
  const auto place = TRY(Directory(*this).find(name));
  if (!place) return failure(KernelError::NoSuchFile);
  Ref<Ext2Inode> found = TRY(file_system_.inodes().get(place->inode));
  if (!is_dot(name)) found->set_parent_hint(number_);
  return found;
}

Result<> Ext2Inode::iterate(std::uint64_t& position, DirectoryVisitor& visitor) {
  if (!is_directory()) return failure(KernelError::NotDirectory);
  MutexGuard guard(file_system_.namespace_lock());
  was_read();
  return Directory(*this).iterate(position, visitor);
}

// What must hold before a name is added here.
Result<> Ext2Inode::check_room_for(std::string_view name) {
  if (!is_directory()) return failure(KernelError::NotDirectory);
  TRY(check_new_name(name));
  if (links() == 0) return failure(KernelError::NoSuchFile);  // removed while somebody still works in it
  if (TRY(Directory(*this).find(name))) return failure(KernelError::AlreadyExists);
  return volume().check_writable();
}

// A new inode without a name. When its maker fails it sets the links to 0, and the inode goes the way of
// orphans.
Result<Ref<Ext2Inode>> Ext2Inode::make_inode(const NewFile& file) {
  const bool directory = file.kind == FileKind::Directory;
  const InodeNumber number = TRY(volume().allocate_inode(number_, directory));
  const StoredInode stored = new_inode(file, stat(), volume().extra_inode_bytes());
  Result<Ref<Ext2Inode>> inode = file_system_.inodes().add(number, file.kind, stored);
  if (!inode) (void)volume().free_inode(number, directory);
  return inode;
}

Result<Ref<Inode>> Ext2Inode::create(std::string_view name, const NewFile& file) {
  Result<Ref<Inode>> created = file_system_.change([&]() -> Result<Ref<Inode>> {
    MutexGuard guard(file_system_.namespace_lock());
    TRY(check_room_for(name));
    const bool directory = file.kind == FileKind::Directory;
    if (directory && links() >= kMaxLinks) return failure(KernelError::TooManyLinks);
    Ref<Ext2Inode> inode = TRY(make_inode(file));
    Result<> outcome;
    if (directory) outcome = Directory(*inode).initialize(number_);
    if (outcome) outcome = Directory(*this).insert(name, inode->number(), file.kind);
    if (!outcome) {
      file_system_.inodes().lost_last_name(*inode);
      return failure(outcome.error());
    }
    if (directory) set_links(links() + 1);  // its ".."
    inode->set_parent_hint(number_);
    return inode;
  });
  if (!created) file_system_.delete_orphans();
  return created;
}

Result<Ref<Inode>> Ext2Inode::make_symbolic_link(std::string_view name, std::string_view target,
                                                 const NewFile& owner) {
  Result<Ref<Inode>> made = file_system_.change([&]() -> Result<Ref<Inode>> {
    MutexGuard guard(file_system_.namespace_lock());
    TRY(check_room_for(name));
    if (target.size() >= volume().block_size()) return failure(KernelError::NameTooLong);
    NewFile file = owner;
    file.kind = FileKind::SymbolicLink;
    file.permissions = 0777;
    Ref<Ext2Inode> inode = TRY(make_inode(file));
    Result<> outcome = inode->set_link_target(target);
    if (outcome) outcome = Directory(*this).insert(name, inode->number(), file.kind);
    if (!outcome) {
      file_system_.inodes().lost_last_name(*inode);
      return failure(outcome.error());
    }
    return inode;
  });
  if (!made) file_system_.delete_orphans();
  return made;
}

Result<> Ext2Inode::link(std::string_view name, Inode& target) {
  if (&target.file_system() != &file_system_) return failure(KernelError::CrossDevice);
  if (target.is_directory()) return failure(KernelError::NotPermitted);
  Ext2Inode& inode = static_cast<Ext2Inode&>(target);
  return file_system_.change([&]() -> Result<> {
    MutexGuard guard(file_system_.namespace_lock());
    TRY(check_room_for(name));
    if (inode.links() == 0) return failure(KernelError::NoSuchFile);
    if (inode.links() >= kMaxLinks) return failure(KernelError::TooManyLinks);
    TRY(Directory(*this).insert(name, inode.number(), inode.kind()));
    inode.set_links(inode.links() + 1);
    return {};
  });
}

void Ext2Inode::drop_link() {
  // A damaged disk may have names without counts; an inode is an orphan once.
  const std::uint16_t count = links();
  if (count > 1) return set_links(count - 1);
  if (count == 1) file_system_.inodes().lost_last_name(*this);
}

Result<> Ext2Inode::unlink(std::string_view name) {
  const Result<> outcome = file_system_.change([&]() -> Result<> {
    if (!is_directory()) return failure(KernelError::NotDirectory);
    MutexGuard guard(file_system_.namespace_lock());
    Directory directory(*this);
    const auto place = TRY(directory.find(name));
    if (!place) return failure(KernelError::NoSuchFile);
    const Ref<Ext2Inode> inode = TRY(file_system_.inodes().get(place->inode));
    if (inode->is_directory()) return failure(KernelError::IsDirectory);
    TRY(volume().check_writable());
    TRY(directory.remove(*place));
    inode->drop_link();
    return {};
  });
  file_system_.delete_orphans();
  return outcome;
}

// Whether a directory may be removed or replaced.
Result<> Ext2Inode::check_removable() {
  if (mounted_here() != nullptr || number_ == kRootInode) return failure(KernelError::Busy);
  if (!TRY(Directory(*this).is_empty())) return failure(KernelError::DirectoryNotEmpty);
  return {};
}

Result<> Ext2Inode::remove_directory(std::string_view name) {
  const Result<> outcome = [&]() -> Result<> {
    if (!is_directory()) return failure(KernelError::NotDirectory);
    if (name == ".") return failure(KernelError::InvalidArgument);
    if (name == "..") return failure(KernelError::DirectoryNotEmpty);
    MutexGuard guard(file_system_.namespace_lock());
    Directory directory(*this);
    const auto place = TRY(directory.find(name));
    if (!place) return failure(KernelError::NoSuchFile);
    const Ref<Ext2Inode> child = TRY(file_system_.inodes().get(place->inode));
    if (!child->is_directory()) return failure(KernelError::NotDirectory);
    TRY(child->check_removable());
    TRY(volume().check_writable());
    TRY(directory.remove(*place));
    child->set_parent_hint(number_);
    file_system_.inodes().lost_last_name(*child);
    if (links() > 2) set_links(links() - 1);  // the child's ".."
    return {};
  }();
  file_system_.delete_orphans();
  return outcome;
}

Result<> Ext2Inode::rename(std::string_view name, Inode& new_directory, std::string_view new_name,
                           RenameMode mode) {
  if (!is_directory() || !new_directory.is_directory()) return failure(KernelError::NotDirectory);
  if (&new_directory.file_system() != &file_system_) return failure(KernelError::CrossDevice);
  if (is_dot(name) || is_dot(new_name)) return failure(KernelError::Busy);
  TRY(check_new_name(new_name));
  const Result<> outcome = file_system_.change([&] {
    MutexGuard guard(file_system_.namespace_lock());
    return rename_locked(name, static_cast<Ext2Inode&>(new_directory), new_name, mode);
  });
  file_system_.delete_orphans();
  return outcome;
}

Result<> Ext2Inode::rename_locked(std::string_view name, Ext2Inode& target, std::string_view new_name,
                                  RenameMode mode) {
  const auto place = TRY(Directory(*this).find(name));
  if (!place) return failure(KernelError::NoSuchFile);
  if (target.links() == 0) return failure(KernelError::NoSuchFile);
  const Ref<Ext2Inode> inode = TRY(file_system_.inodes().get(place->inode));
  if (inode->mounted_here() != nullptr) return failure(KernelError::Busy);
  const bool directory = inode->is_directory();
  if (directory && TRY(target.is_below(*inode))) return failure(KernelError::InvalidArgument);

  Ref<Ext2Inode> replaced;
  const auto new_place = TRY(Directory(target).find(new_name));
  if (new_place) {
    if (mode == RenameMode::NoReplace) return failure(KernelError::AlreadyExists);
    if (new_place->inode == place->inode) return {};  // two names of one file: nothing to do, says POSIX
    replaced = TRY(file_system_.inodes().get(new_place->inode));
    if (replaced->is_directory() && !directory) return failure(KernelError::IsDirectory);
    if (!replaced->is_directory() && directory) return failure(KernelError::NotDirectory);
    if (directory) TRY(replaced->check_removable());
  } else if (directory && &target != this && target.links() >= kMaxLinks) {
    return failure(KernelError::TooManyLinks);
  }
  const bool new_parent = directory && &target != this;
  std::optional<Directory::Place> up;  // the directory's ".."
  if (new_parent) up = TRY(Directory(*inode).find(".."));
  TRY(volume().check_writable());

  // Only adding the name may fail, and it comes first; all other places have been found.
  if (new_place) {
    TRY(Directory(target).redirect(*new_place, inode->number(), inode->kind()));
  } else {
    TRY(Directory(target).insert(new_name, inode->number(), inode->kind()));
  }
  TRY(Directory(*this).remove(*place));

  if (replaced && directory) {
    replaced->set_parent_hint(target.number());
    file_system_.inodes().lost_last_name(*replaced);
    target.set_links(target.links() - 1);  // its ".."
  } else if (replaced) {
    replaced->drop_link();
  }
  if (new_parent) {
    if (up) TRY(Directory(*inode).redirect(*up, target.number(), FileKind::Directory));
    set_links(links() - 1);
    target.set_links(target.links() + 1);
  }
  inode->set_links(inode->links());  // its time of change
  inode->set_parent_hint(target.number());
  return {};
}

// Whether this directory is `ancestor` or lies somewhere below it. Damaged disks may have rings of "..": a
// walk that has taken more steps than there are directories has met one.
Result<bool> Ext2Inode::is_below(const Ext2Inode& ancestor) {
  InodeNumber here = number_;
  Ref<Ext2Inode> directory = Ref<Ext2Inode>::share(*this);
  for (std::uint32_t steps = 0; steps < volume().inode_count(); ++steps) {
    if (here == ancestor.number()) return true;
    if (here == kRootInode) return false;
    const auto parent = TRY(Directory(*directory).find(".."));
    if (!parent) break;
    here = parent->inode;
    directory = TRY(file_system_.inodes().get(here));
    if (!directory->is_directory()) break;
  }
  return failure(volume().damaged("no way to the root from directory", number_));
}

std::uint64_t Ext2Inode::block_count_of_directory() const { return size() / volume().block_size(); }

Result<BufferRef> Ext2Inode::metadata_block(std::uint64_t index) {
  MutexGuard guard(map_lock_);
  const BlockRun run = TRY(map().find(index, 1));
  if (run.is_hole()) return BufferRef();
  return volume().buffers().read(run.first);
}

Result<BufferRef> Ext2Inode::append_metadata_block() {
  const std::uint64_t index = block_count_of_directory();
  if (size() + volume().block_size() > INT32_MAX) return failure(KernelError::NoSpace);
  MutexGuard guard(map_lock_);
  const BlockMap::Placed placed = TRY(map().find_or_allocate(index));
  mark_dirty_inode();
  Result<BufferRef> buffer = volume().buffers().zeroed(placed.block);
  if (!buffer) {
    (void)free_blocks_beyond_end(guard);
    return failure(buffer.error());
  }
  if (is_directory()) set_initial_size(size() + volume().block_size());
  return buffer;
}

Result<> Ext2Inode::set_link_target(std::string_view target) {
  if (target.size() < kFastLinkBytes) {
    std::memcpy(stored_.raw.blocks, target.data(), target.size());
  } else {
    const BufferRef block = TRY(append_metadata_block());
    std::memcpy(block.bytes().data(), target.data(), target.size());
    block.mark_dirty();
  }
  set_initial_size(target.size());
  mark_dirty_inode();
  return {};
}

Result<std::size_t> Ext2Inode::read_link(std::span<char> target) {
  if (kind_ != FileKind::SymbolicLink) return failure(KernelError::InvalidArgument);
  const std::size_t length = size();
  const std::size_t count = std::min(length, target.size());
  was_read();
  if (has_fast_link()) {
    if (length >= kFastLinkBytes) return failure(volume().damaged("damaged symbolic link", number_));
    std::memcpy(target.data(), stored_.raw.blocks, count);
    return length;
  }
  if (length >= volume().block_size()) return failure(volume().damaged("damaged symbolic link", number_));
  const BufferRef block = TRY(metadata_block(0));
  if (!block) return failure(volume().damaged("damaged symbolic link", number_));
  std::memcpy(target.data(), block.bytes().data(), count);
  return length;
}

}  // namespace faultline::ext2
