// The attributes of an ext2 inode, and its way to and from the inode table.

#include "kernel/fs/ext2_inode.hpp"

#include <algorithm>
#include <cstring>

#include "kernel/fs/ext2_file_system.hpp"

namespace faultline::ext2 {
namespace {

// Seconds are 32 bits and signed; two more bits and the nanoseconds stand in the extra field where there is
// one.
Timestamp decode_time(std::uint32_t seconds, std::uint32_t extra, bool has_extra) {
  Timestamp time{static_cast<std::int32_t>(seconds), 0};
  if (has_extra) {
    time.seconds += static_cast<std::int64_t>(extra & 3) << 32;
    time.nanoseconds = std::min<std::uint32_t>(extra >> 2, 999'999'999);
  }
  return time;
}

void encode_time(const Timestamp& time, std::uint32_t& seconds, std::uint32_t& extra) {
  seconds = static_cast<std::uint32_t>(time.seconds);
  const std::int64_t epoch = time.seconds - static_cast<std::int32_t>(seconds);
  extra = (static_cast<std::uint32_t>(epoch >> 32) & 3) | time.nanoseconds << 2;
}

// The extra fields of the three times end 16 bytes behind the RawInode.
bool has_extra_times(const StoredInode& inode) { return inode.extra.extra_size >= 16; }

bool is_later(const Timestamp& a, const Timestamp& b) {
  return a.seconds != b.seconds ? a.seconds > b.seconds : a.nanoseconds > b.nanoseconds;
}

std::uint64_t size_of(const RawInode& raw, FileKind kind) {
  return raw.size | (kind == FileKind::Regular ? std::uint64_t{raw.size_high} << 32 : 0);
}

}  // namespace

Ext2Inode::Ext2Inode(Ext2FileSystem& file_system, InodeNumber number, FileKind kind,
                     const StoredInode& stored)
    : file_system_(file_system), number_(number), kind_(kind), stored_(stored) {
  set_initial_size(size_of(stored.raw, kind));
}

Ext2Inode::~Ext2Inode() { drop_all_pages(); }

FileSystem& Ext2Inode::file_system() const { return file_system_; }
Volume& Ext2Inode::volume() const { return file_system_.volume(); }
std::uint64_t Ext2Inode::device_number() const { return file_system_.device_number(); }

Stat Ext2Inode::stat() const {
  SpinGuard guard(state_lock_);
  const RawInode& raw = stored_.raw;
  const RawInodeExtra& extra = stored_.extra;
  const bool has_extra = has_extra_times(stored_);
  Stat stat;
  stat.device = device_number();
  stat.inode = number_;
  stat.mode = raw.mode;
  stat.links = raw.links;
  stat.user = raw.user | static_cast<std::uint32_t>(raw.user_high) << 16;
  stat.group = raw.group | static_cast<std::uint32_t>(raw.group_high) << 16;
  stat.size = size();
  stat.block_size = static_cast<std::uint32_t>(kPageSize);
  stat.blocks = std::atomic_ref(const_cast<std::uint32_t&>(raw.sectors)).load(std::memory_order_relaxed);
  stat.accessed = decode_time(raw.access_time, extra.access_time_extra, has_extra);
  stat.modified = decode_time(raw.modify_time, extra.modify_time_extra, has_extra);
  stat.changed = decode_time(raw.change_time, extra.change_time_extra, has_extra);
  if (kind_ == FileKind::CharacterDevice || kind_ == FileKind::BlockDevice) {
    // Two encodings: 8 + 8 bits in the first word, or, if that is zero, the newer one in the second.
    stat.special = raw.blocks[0] != 0
                       ? DeviceNumber{.major = raw.blocks[0] >> 8 & 0xff, .minor = raw.blocks[0] & 0xff}
                       : DeviceNumber::decode(raw.blocks[1]);
  }
  return stat;
}

std::uint16_t Ext2Inode::links() const {
  SpinGuard guard(state_lock_);
  return stored_.raw.links;
}

void Ext2Inode::set_links(std::uint16_t links) {
  const Timestamp now = current_time();
  SpinGuard guard(state_lock_);
  stored_.raw.links = links;
  encode_time(now, stored_.raw.change_time, stored_.extra.change_time_extra);
  mark_dirty_inode();
}

void Ext2Inode::contents_changed() {
  written_through_mapping_.store(false, std::memory_order_relaxed);
  const Timestamp now = current_time();
  SpinGuard guard(state_lock_);
  encode_time(now, stored_.raw.modify_time, stored_.extra.modify_time_extra);
  encode_time(now, stored_.raw.change_time, stored_.extra.change_time_extra);
  mark_dirty_inode();
}

// The time of access is kept as Linux's default does: moved only when it is not later than the last change,
// so that reading does not write.
void Ext2Inode::was_read() {
  SpinGuard guard(state_lock_);
  const bool has_extra = has_extra_times(stored_);
  const Timestamp accessed = decode_time(stored_.raw.access_time, stored_.extra.access_time_extra, has_extra);
  const Timestamp changed = decode_time(stored_.raw.change_time, stored_.extra.change_time_extra, has_extra);
  if (is_later(accessed, changed) || volume().read_only()) return;
  Timestamp now = current_time();
  // Without room for nanoseconds a change and an access in one second look alike; the access counts as later.
  if (!has_extra && now.seconds <= changed.seconds) now.seconds = changed.seconds + 1;
  encode_time(now, stored_.raw.access_time, stored_.extra.access_time_extra);
  mark_dirty_inode();
}

void Ext2Inode::mark_dirty(std::uint64_t index) {
  PageCache::mark_dirty(index);
  written_through_mapping_.store(true, std::memory_order_relaxed);
  note_unwritten_change();
}

void Ext2Inode::clear_index_flag() {
  SpinGuard guard(state_lock_);
  if ((stored_.raw.flags & kFlagIndexedDirectory) == 0) return;
  stored_.raw.flags &= ~kFlagIndexedDirectory;
  mark_dirty_inode();
}

Result<> Ext2Inode::change_attributes(const AttributeChange& change) {
  TRY(volume().check_writable());
  const Timestamp now = current_time();
  SpinGuard guard(state_lock_);
  RawInode& raw = stored_.raw;
  if (change.permissions)
    raw.mode =
        static_cast<std::uint16_t>((raw.mode & mode::kKindMask) | (*change.permissions & mode::kPermissions));
  if (change.user) {
    raw.user = static_cast<std::uint16_t>(*change.user);
    raw.user_high = static_cast<std::uint16_t>(*change.user >> 16);
  }
  if (change.group) {
    raw.group = static_cast<std::uint16_t>(*change.group);
    raw.group_high = static_cast<std::uint16_t>(*change.group >> 16);
  }
  if (change.accessed) encode_time(*change.accessed, raw.access_time, stored_.extra.access_time_extra);
  if (change.modified) encode_time(*change.modified, raw.modify_time, stored_.extra.modify_time_extra);
  encode_time(now, raw.change_time, stored_.extra.change_time_extra);
  mark_dirty_inode();
  return {};
}

Result<> Ext2Inode::store() {
  const Result<> truncated = finish_truncation();
  if (dirty_.exchange(0, std::memory_order_acq_rel) == 0) return {};
  const Volume::InodePlace place = volume().place_of(number_);
  // Block pointers and size must belong together: a truncation changes the size first, then the pointers, and
  // holds the map's lock over neither, but it marks the inode dirty again when it is done.
  MutexGuard map_guard(map_lock_);
  const Result<BufferRef> buffer = volume().buffers().read(place.block);
  if (!buffer) {
    mark_dirty_inode();
    return failure(buffer.error());
  }
  SpinGuard guard(state_lock_);
  const std::uint64_t size = this->size();
  stored_.raw.size = static_cast<std::uint32_t>(size);
  if (kind_ == FileKind::Regular) stored_.raw.size_high = static_cast<std::uint32_t>(size >> 32);
  std::byte* slot = buffer->bytes().data() + place.offset;
  std::memcpy(slot, &stored_.raw, sizeof(RawInode));
  if (stored_.extra.extra_size != 0) {
    const std::size_t extra = std::min<std::size_t>(stored_.extra.extra_size, sizeof(RawInodeExtra));
    std::memcpy(slot + sizeof(RawInode), &stored_.extra, extra);
  }
  buffer->mark_dirty();
  if (!truncated) mark_dirty_inode();
  return truncated;
}

InodeNumber Ext2Inode::next_orphan() const {
  SpinGuard guard(state_lock_);
  return stored_.raw.delete_time;
}

void Ext2Inode::set_next_orphan(InodeNumber next) {
  SpinGuard guard(state_lock_);
  if (stored_.raw.delete_time == next) return;
  stored_.raw.delete_time = next;
  mark_dirty_inode();
}

bool Ext2Inode::has_fast_link() const {
  if (kind_ != FileKind::SymbolicLink) return false;
  const std::uint32_t attributes = stored_.raw.attribute_block != 0 ? volume().block_size() / kSectorSize : 0;
  return stored_.raw.sectors <= attributes;
}

// The block of extended attributes, which this kernel keeps but does not show. The namespace lock covers its
// count.
Result<> Ext2Inode::release_attribute_block() {
  const BlockNumber block = stored_.raw.attribute_block;
  if (block == 0) return {};
  if (!volume().is_valid_block(block))
    return failure(volume().damaged("wrong attribute block of inode", number_));
  {
    const BufferRef buffer = TRY(volume().buffers().read(block));
    auto& header = buffer.at<AttributeBlockHeader>(0);
    if (header.magic != AttributeBlockHeader::kMagic)
      return failure(volume().damaged("damaged attribute block of inode", number_));
    if (header.references > 1) {
      --header.references;
      buffer.mark_dirty();
      stored_.raw.attribute_block = 0;
      return {};
    }
  }
  TRY(volume().free_block(block));
  stored_.raw.attribute_block = 0;
  return {};
}

Result<> Ext2Inode::erase() {
  drop_all_pages();
  {
    MutexGuard guard(map_lock_);
    const bool has_blocks = kind_ == FileKind::Regular || kind_ == FileKind::Directory ||
                            (kind_ == FileKind::SymbolicLink && !has_fast_link());
    mark_dirty_inode();  // even if only some blocks can be freed
    if (has_blocks) TRY(map().truncate(0));
    TRY(release_attribute_block());
    blocks_beyond_end_ = false;
    SpinGuard state(state_lock_);
    stored_.raw.sectors = 0;
    // Checkers take a small time of deletion for the number of an inode in the list of orphans.
    const auto now = static_cast<std::uint32_t>(current_time().seconds);
    stored_.raw.delete_time = std::max(now, volume().inode_count() + 1);
    stored_.raw.links = 0;
    set_initial_size(0);
    mark_dirty_inode();
  }
  return store();
}

}  // namespace faultline::ext2
