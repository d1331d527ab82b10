#include "kernel/proc/elf.hpp"

#include <bit>
#include <cstring>
#include <utility>

namespace faultline {

namespace {

struct FileHeader {
  std::uint8_t ident[16];
  std::uint16_t type;
  std::uint16_t machine;
  std::uint32_t version;
  std::uint64_t entry;
  std::uint64_t program_headers;
  std::uint64_t section_headers;
  std::uint32_t flags;
  std::uint16_t header_bytes;
  std::uint16_t program_header_bytes;
  std::uint16_t program_header_count;
  std::uint16_t section_header_bytes;
  std::uint16_t section_header_count;
  std::uint16_t section_name_index;
};
static_assert(sizeof(FileHeader) == ElfImage::kHeaderBytes);

struct ProgramHeader {
  std::uint32_t type;
  std::uint32_t flags;
  std::uint64_t offset;
  std::uint64_t virtual_address;
  std::uint64_t physical_address;
  std::uint64_t file_bytes;
  std::uint64_t memory_bytes;
  std::uint64_t alignment;
};
static_assert(sizeof(ProgramHeader) == ElfImage::kProgramHeaderBytes);

constexpr std::uint8_t kMagic[] = {0x7f, 'E', 'L', 'F', 2 /* 64-bit */, 1 /* little-endian */,
                                   1 /* version */};
constexpr std::uint16_t kTypeExecutable = 2, kTypeShared = 3;
constexpr std::uint16_t kMachineRiscV = 243;
constexpr std::uint32_t kSegmentLoad = 1, kSegmentInterpreter = 3;
constexpr std::uint32_t kFlagExecute = 1, kFlagWrite = 2, kFlagRead = 4;

// An image may not reach into the region at the top, where the stack and the signal-return page stand.
constexpr std::uint64_t kImageEnd = kUserEnd / 2;
constexpr std::uint64_t kMaxAlignment = kMegapageSize;

constexpr std::unexpected<KernelError> malformed() { return failure(KernelError::NotExecutable); }

Permission permission_of(std::uint32_t flags) {
  const bool writable = (flags & kFlagWrite) != 0;
  // Sv39 has no writable page that cannot be read; Linux gives such a segment both rights as well.
  const bool readable = writable || (flags & kFlagRead) != 0;
  return *Permission::from(readable, writable, (flags & kFlagExecute) != 0);
}

}  // namespace

Result<ElfImage> ElfImage::parse_header(std::span<const std::byte> bytes, std::uint64_t file_size) {
  FileHeader header;
  if (bytes.size() < sizeof(header) || file_size < sizeof(header)) return malformed();
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.ident, kMagic, sizeof(kMagic)) != 0) return malformed();
  if (header.type != kTypeExecutable && header.type != kTypeShared) return malformed();
  if (header.machine != kMachineRiscV) return malformed();
  if (header.program_header_bytes != sizeof(ProgramHeader)) return malformed();
  if (header.program_header_count == 0 || header.program_header_count > kMaxProgramHeaders)
    return malformed();
  const std::uint64_t table_bytes = header.program_header_count * sizeof(ProgramHeader);
  if (header.program_headers > file_size || table_bytes > file_size - header.program_headers)
    return malformed();

  ElfImage image;
  image.file_size_ = file_size;
  image.table_ = {.offset = header.program_headers, .count = header.program_header_count};
  image.position_independent_ = header.type == kTypeShared;
  image.entry_ = header.entry;
  return image;
}

Result<> ElfImage::parse_segments(std::span<const std::byte> headers) {
  if (headers.size() != table_.count * sizeof(ProgramHeader)) return malformed();
  for (std::size_t i = 0; i < table_.count; ++i) TRY(add_segment(headers.data() + i * sizeof(ProgramHeader)));
  if (segment_count_ == 0 || !executes(entry_)) return malformed();
  return {};
}

Result<> ElfImage::add_segment(const std::byte* bytes) {
  ProgramHeader header;
  std::memcpy(&header, bytes, sizeof(header));
  if (header.type == kSegmentInterpreter) return malformed();
  if (header.type != kSegmentLoad || header.memory_bytes == 0) return {};
  if (segment_count_ == kMaxSegments) return malformed();

  if (header.file_bytes > header.memory_bytes) return malformed();
  if (header.offset > file_size_ || header.file_bytes > file_size_ - header.offset) return malformed();
  if (header.virtual_address >= kImageEnd || header.memory_bytes > kImageEnd - header.virtual_address)
    return malformed();
  if (header.virtual_address % kPageSize != header.offset % kPageSize) return malformed();
  if (header.alignment > kPageSize) {
    if (!std::has_single_bit(header.alignment) || header.alignment > kMaxAlignment) return malformed();
    alignment_ = std::max(alignment_, header.alignment);
  }
  const ElfSegment segment{.address = header.virtual_address,
                           .memory_bytes = header.memory_bytes,
                           .file_offset = header.offset,
                           .file_bytes = header.file_bytes,
                           .permission = permission_of(header.flags)};
  // The first page of an executable at a fixed address stays unmapped, so that null pointers fault.
  if (!position_independent_ && segment.first_page() == 0) return malformed();
  // Zero-filling the end of the file's last page writes to it.
  if (segment.memory_bytes > segment.file_bytes && !segment.permission.writable()) return malformed();
  for (const ElfSegment& other : segments()) {
    if (segment.first_page() < other.pages_end() && other.first_page() < segment.pages_end())
      return malformed();
  }
  segments_[segment_count_++] = segment;
  end_ = std::max(end_, segment.end());
  if (table_.offset >= segment.file_offset && table_.offset - segment.file_offset < segment.file_bytes) {
    header_address_ = segment.address + (table_.offset - segment.file_offset);
  }
  return {};
}

bool ElfImage::executes(std::uint64_t address) const {
  for (const ElfSegment& segment : segments()) {
    if (segment.permission.executable() && address >= segment.address && address < segment.end()) return true;
  }
  return false;
}

}  // namespace faultline
