#include "kernel/fs/ext2_inode_cache.hpp"

#include <cstring>

#include "kernel/fs/ext2_file_system.hpp"

namespace faultline::ext2 {

bool InodeCache::unused(const Ext2Inode& inode) { return inode.references() == 1; }

Ext2Inode* InodeCache::find(InodeNumber number) {
  for (Ext2Inode& inode : bucket(number))
    if (inode.number() == number) return &inode;
  return nullptr;
}

Result<Ref<Ext2Inode>> InodeCache::get(InodeNumber number) {
  Ref<Ext2Inode> inode = TRY(get_orphan(number));
  if (inode->links() == 0)
    return failure(file_system_.volume().damaged("a name refers to the free inode", number));
  return inode;
}

Result<Ref<Ext2Inode>> InodeCache::get_orphan(InodeNumber number) {
  {
    SpinGuard guard(lock_);
    if (Ext2Inode* inode = find(number)) {
      static_cast<ListNode<InodeByAge>&>(*inode).unlink();
      by_age_.push_back(*inode);
      return Ref<Ext2Inode>::share(*inode);
    }
  }
  Volume& volume = file_system_.volume();
  if (!volume.is_valid_inode(number))
    return failure(volume.damaged("a name refers to the reserved inode", number));
  const StoredInode stored = TRY(read(number));
  const auto kind = mode::kind_of(stored.raw.mode);
  if (!kind) return failure(volume.damaged("unknown kind of file in inode", number));
  TRY(make_room());
  Ref<Ext2Inode> inode = TRY(make_ref<Ext2Inode>(file_system_, number, *kind, stored));
  const std::uint64_t size = inode->size();
  const bool bad_size = *kind == FileKind::Directory
                            ? size == 0 || size % volume.block_size() != 0
                            : size > BlockMap::limit(volume.block_size()) * volume.block_size();
  if (bad_size) return failure(volume.damaged("wrong size of inode", number));
  insert(inode);
  return inode;
}

Result<Ref<Ext2Inode>> InodeCache::living_directory(std::uint64_t number) {
  if (number > UINT32_MAX || !file_system_.volume().is_valid_inode(static_cast<InodeNumber>(number)))
    return failure(KernelError::NoSuchFile);
  const auto inode_number = static_cast<InodeNumber>(number);
  bool in_memory;
  {
    SpinGuard guard(lock_);
    in_memory = find(inode_number) != nullptr;
  }
  if (!in_memory) {
    const StoredInode stored = TRY(read(inode_number));
    if (stored.raw.links == 0) return failure(KernelError::NoSuchFile);
  }
  Ref<Ext2Inode> inode = TRY(get_orphan(inode_number));
  if (inode->links() == 0 || !inode->is_directory()) return failure(KernelError::NoSuchFile);
  return inode;
}

Result<Ref<Ext2Inode>> InodeCache::add(InodeNumber number, FileKind kind, const StoredInode& stored) {
  Volume& volume = file_system_.volume();
  {
    SpinGuard guard(lock_);
    // The bitmap called an inode free that a name refers to.
    if (find(number) != nullptr) return failure(volume.damaged("two owners of inode", number));
  }
  const Volume::InodePlace place = volume.place_of(number);
  {
    const BufferRef buffer = TRY(volume.buffers().read(place.block));
    std::memset(buffer.bytes().data() + place.offset, 0, volume.inode_size());
    buffer.mark_dirty();
  }
  TRY(make_room());
  Ref<Ext2Inode> inode = TRY(make_ref<Ext2Inode>(file_system_, number, kind, stored));
  inode->mark_dirty_inode();
  insert(inode);
  return inode;
}

Result<StoredInode> InodeCache::read(InodeNumber number) {
  Volume& volume = file_system_.volume();
  const Volume::InodePlace place = volume.place_of(number);
  const BufferRef buffer = TRY(volume.buffers().read(place.block));
  const std::byte* slot = buffer.bytes().data() + place.offset;
  StoredInode stored;
  std::memcpy(&stored.raw, slot, sizeof(RawInode));
  if (volume.extra_inode_bytes() != 0) {
    std::memcpy(&stored.extra, slot + sizeof(RawInode), sizeof(RawInodeExtra));
    const std::size_t room = volume.inode_size() - sizeof(RawInode);
    if (stored.extra.extra_size > room || stored.extra.extra_size % 4 != 0) stored.extra.extra_size = 0;
  }
  return stored;
}

void InodeCache::insert(Ref<Ext2Inode> inode) {
  SpinGuard guard(lock_);
  bucket(inode->number()).push_back(*inode);
  by_age_.push_back(*inode);
  ++count_;
  if (inode->links() == 0) orphans_.fetch_add(1, std::memory_order_relaxed);
  (void)inode.leak();  // the cache's own reference
}

// Drops the inode that was looked up longest ago among those not in use. Lets the cache grow when all are.
Result<> InodeCache::make_room() {
  Ref<Ext2Inode> victim;
  {
    SpinGuard guard(lock_);
    if (count_ < kCapacity) return {};
    for (Ext2Inode& inode : by_age_) {
      if (!unused(inode) || inode.links() == 0) continue;
      victim = Ref<Ext2Inode>::share(inode);
      break;
    }
  }
  if (!victim) return {};
  TRY(victim->write_back(0, UINT64_MAX));
  TRY(victim->store());
  (void)forget(*victim);
  return {};
}

bool InodeCache::forget(Ext2Inode& inode) {
  SpinGuard guard(lock_);
  // Should a sync have found it meanwhile, it stays a little longer.
  if (inode.references() != 2 || inode.is_dirty() || inode.has_dirty_pages()) return false;
  remove(inode);
  guard.release();
  inode.release_reference();  // the cache's own
  return true;
}

void InodeCache::lost_last_name(Ext2Inode& inode) {
  if (inode.links() != 0) inode.set_links(0);
  orphans_.fetch_add(1, std::memory_order_relaxed);
}

void InodeCache::remove(Ext2Inode& inode) {
  static_cast<ListNode<InodeByNumber>&>(inode).unlink();
  static_cast<ListNode<InodeByAge>&>(inode).unlink();
  --count_;
}

// The caller's reference ends here. NOLINTNEXTLINE(performance-unnecessary-value-param)
void InodeCache::discard(Ref<Ext2Inode> inode) {
  SpinGuard guard(lock_);
  remove(*inode);
  orphans_.fetch_sub(1, std::memory_order_relaxed);
  guard.release();
  inode->release_reference();  // the cache's own; the caller's goes with `inode`
}

std::size_t InodeCache::drop_unused() {
  const auto droppable = [](const Ext2Inode& inode) {
    return unused(inode) && inode.links() != 0 && !inode.is_dirty() && !inode.has_dirty_pages();
  };
  std::size_t dropped = 0;
  for (InodeNumber last = 0; const Ref<Ext2Inode> inode = next(last, droppable);) {
    last = inode->number();
    if (forget(*inode)) ++dropped;
  }
  return dropped;
}

void InodeCache::drop_all() {
  for (;;) {
    Ref<Ext2Inode> inode;
    {
      SpinGuard guard(lock_);
      if (by_age_.empty()) return;
      inode = Ref<Ext2Inode>::adopt(&by_age_.front());
      remove(*inode);
    }
  }
}

template <class Predicate>
Ref<Ext2Inode> InodeCache::next(InodeNumber after, Predicate predicate) {
  SpinGuard guard(lock_);
  Ext2Inode* best = nullptr;
  for (Ext2Inode& inode : by_age_) {
    if (inode.number() <= after || (best != nullptr && inode.number() > best->number())) continue;
    if (predicate(inode)) best = &inode;
  }
  return best != nullptr ? Ref<Ext2Inode>::share(*best) : Ref<Ext2Inode>();
}

Ref<Ext2Inode> InodeCache::next_dirty(InodeNumber after) {
  return next(after, [](const Ext2Inode& inode) { return inode.is_dirty() || inode.has_dirty_pages(); });
}

Ref<Ext2Inode> InodeCache::next_orphan(InodeNumber after) {
  if (orphans_.load(std::memory_order_relaxed) == 0) return nullptr;
  return next(after, [](const Ext2Inode& inode) { return inode.links() == 0; });
}

Ref<Ext2Inode> InodeCache::next_unused_orphan(InodeNumber after) {
  if (orphans_.load(std::memory_order_relaxed) == 0) return nullptr;
  return next(after, [](const Ext2Inode& inode) { return inode.links() == 0 && unused(inode); });
}

}  // namespace faultline::ext2
