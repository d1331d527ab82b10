#include "kernel/fs/ext2_directory.hpp"

#include <cstring>

#include "kernel/fs/ext2_file_system.hpp"

namespace faultline::ext2 {
namespace {

// The numbers that stand in DirectoryEntryHeader::kind.
constexpr FileKind kKinds[] = {FileKind::Regular,     FileKind::Directory, FileKind::CharacterDevice,
                               FileKind::BlockDevice, FileKind::Fifo,      FileKind::Socket,
                               FileKind::SymbolicLink};

std::uint8_t number_of(FileKind kind) {
  for (std::size_t i = 0; i < std::size(kKinds); ++i)
    if (kKinds[i] == kind) return static_cast<std::uint8_t>(i + 1);
  return 0;
}

}  // namespace

// A checked copy of an entry's header: the bytes below may change when a damaged disk has two uses for one
// block.
struct Directory::Entry {
  InodeNumber inode;
  std::size_t length;
  std::uint8_t kind;
  std::string_view name;
  std::size_t used() const { return inode == 0 ? 0 : entry_size(name.size()); }
};

std::size_t Directory::block_size() const {
  return static_cast<Ext2FileSystem&>(inode_.file_system()).volume().block_size();
}

Result<Directory::Entry> Directory::entry_at(const BufferRef& block, std::size_t offset) {
  Volume& volume = static_cast<Ext2FileSystem&>(inode_.file_system()).volume();
  const auto broken = [&] { return failure(volume.damaged("damaged entry in directory", inode_.number())); };
  const std::size_t size = volume.block_size();
  // Entries begin at multiples of 4: the lengths of those before are checked.
  if (offset + sizeof(DirectoryEntryHeader) > size) return broken();
  const DirectoryEntryHeader header = block.at<DirectoryEntryHeader>(offset);
  const std::size_t least = header.inode == 0 ? sizeof(header) : entry_size(header.name_length);
  if (header.length % 4 != 0 || header.length < least || header.length > size - offset) return broken();
  if (header.inode == 0) return Entry{0, header.length, 0, {}};
  if (!volume.is_valid_inode(header.inode) || header.name_length == 0) return broken();
  const char* name = reinterpret_cast<const char*>(block.bytes().data()) + offset + sizeof(header);
  return Entry{header.inode, header.length, header.kind, {name, header.name_length}};
}

Result<std::optional<Directory::Place>> Directory::find(std::string_view name) {
  const std::uint64_t blocks = inode_.block_count_of_directory();
  const std::size_t size = block_size();
  for (std::uint64_t b = 0; b < blocks; ++b) {
    BufferRef block = TRY(inode_.metadata_block(b));
    if (!block) continue;
    for (std::size_t offset = 0; offset < size;) {
      const Entry entry = TRY(entry_at(block, offset));
      if (entry.inode != 0 && entry.name == name) return Place{entry.inode, std::move(block), offset};
      offset += entry.length;
    }
  }
  return std::nullopt;
}

// The offset of an entry with `needed` bytes of slack.
Result<std::optional<std::size_t>> Directory::find_room(const BufferRef& block, std::size_t needed) {
  for (std::size_t offset = 0; offset < block_size();) {
    const Entry entry = TRY(entry_at(block, offset));
    if (entry.length - entry.used() >= needed) return offset;
    offset += entry.length;
  }
  return std::nullopt;
}

void Directory::write_entry(const BufferRef& block, std::size_t offset, std::size_t length,
                            std::string_view name, InodeNumber inode, FileKind kind) {
  const bool kinds = static_cast<Ext2FileSystem&>(inode_.file_system()).volume().entries_have_kinds();
  const DirectoryEntryHeader header{inode, static_cast<std::uint16_t>(length),
                                    static_cast<std::uint8_t>(name.size()),
                                    kinds ? number_of(kind) : std::uint8_t{0}};
  std::byte* entry = block.bytes().data() + offset;
  std::memcpy(entry, &header, sizeof(header));
  std::memcpy(entry + sizeof(header), name.data(), name.size());
  std::memset(entry + sizeof(header) + name.size(), 0,
              entry_size(name.size()) - sizeof(header) - name.size());
  block.mark_dirty(WriteOrder::Late);
}

void Directory::changed() {
  inode_.clear_index_flag();
  inode_.contents_changed();
}

Result<> Directory::insert(std::string_view name, InodeNumber inode, FileKind kind) {
  const std::size_t needed = entry_size(name.size());
  const std::uint64_t blocks = inode_.block_count_of_directory();
  for (std::uint64_t b = 0; b < blocks; ++b) {
    const BufferRef block = TRY(inode_.metadata_block(b));
    if (!block) continue;
    const auto room = TRY(find_room(block, needed));
    if (!room) continue;
    // The slack becomes the new entry; the old one keeps what it needs.
    const Entry old = TRY(entry_at(block, *room));
    if (old.used() != 0)
      block.at<DirectoryEntryHeader>(*room).length = static_cast<std::uint16_t>(old.used());
    write_entry(block, *room + old.used(), old.length - old.used(), name, inode, kind);
    changed();
    return {};
  }
  const BufferRef block = TRY(inode_.append_metadata_block());
  write_entry(block, 0, block_size(), name, inode, kind);
  changed();
  return {};
}

Result<> Directory::remove(const Place& place) {
  const Entry entry = TRY(entry_at(place.block, place.offset));
  // The entry before it takes its bytes. Which that is may have changed since the place was found.
  std::size_t previous = place.offset;
  for (std::size_t offset = 0; offset < place.offset;) {
    previous = offset;
    offset += TRY(entry_at(place.block, offset)).length;
  }
  if (previous != place.offset) {
    place.block.at<DirectoryEntryHeader>(previous).length =
        static_cast<std::uint16_t>(place.offset + entry.length - previous);
  }
  place.block.at<DirectoryEntryHeader>(place.offset).inode = 0;
  place.block.mark_dirty(WriteOrder::Late);
  changed();
  return {};
}

Result<> Directory::redirect(const Place& place, InodeNumber inode, FileKind kind) {
  const Entry entry = TRY(entry_at(place.block, place.offset));
  write_entry(place.block, place.offset, entry.length, entry.name, inode, kind);
  changed();
  return {};
}

Result<> Directory::initialize(InodeNumber parent) {
  const BufferRef block = TRY(inode_.append_metadata_block());
  const std::size_t first = entry_size(1);
  write_entry(block, 0, first, ".", inode_.number(), FileKind::Directory);
  write_entry(block, first, block_size() - first, "..", parent, FileKind::Directory);
  return {};
}

Result<bool> Directory::is_empty() {
  class Search final : public DirectoryVisitor {
   public:
    bool visit(const DirectoryEntry& entry) override {
      found = entry.name != "." && entry.name != "..";
      return !found;
    }
    bool found = false;
  } search;
  std::uint64_t position = 0;
  TRY(iterate(position, search));
  return !search.found;
}

FileKind Directory::kind_of(const Entry& entry) {
  if (entry.kind >= 1 && entry.kind <= std::size(kKinds)) return kKinds[entry.kind - 1];
  // The disk's entries do not tell; the inode does. Should it be damaged, whoever opens the file will see
  // that.
  const auto inode = static_cast<Ext2FileSystem&>(inode_.file_system()).inodes().get(entry.inode);
  return inode ? (*inode)->kind() : FileKind::Regular;
}

Result<> Directory::iterate(std::uint64_t& position, DirectoryVisitor& visitor) {
  const std::size_t size = block_size();
  while (position / size < inode_.block_count_of_directory()) {
    const std::uint64_t start = position / size * size;
    const BufferRef block = TRY(inode_.metadata_block(position / size));
    // From the block's start: entries may have been joined since `position` was given out.
    for (std::size_t offset = 0; block && offset < size;) {
      const Entry entry = TRY(entry_at(block, offset));
      const std::uint64_t next = start + offset + entry.length;
      if (start + offset >= position && entry.inode != 0 &&
          !visitor.visit({entry.name, entry.inode, kind_of(entry), next})) {
        position = start + offset;
        return {};
      }
      offset += entry.length;
    }
    position = start + size;
  }
  return {};
}

}  // namespace faultline::ext2
