#pragma once
// Reading ELF64 executables: from bytes that may be anything to a list of segments that can be mapped.
//
// Structures and constants are those of the System V ABI's object file format and of the RISC-V ELF psABI.
// Nothing here touches memory or files, so it can be tested with any bytes.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/mm/address.hpp"
#include "kernel/mm/permission.hpp"

namespace faultline {

/// A PT_LOAD segment whose fields have been checked: addresses lie in the user half (relative to the load
/// base when the image is position independent), the file part is not longer than the memory part and lies
/// inside the file, and file offset and address agree modulo the page size.
struct ElfSegment {
  std::uint64_t address;
  std::uint64_t memory_bytes;  // > 0
  std::uint64_t file_offset;
  std::uint64_t file_bytes;
  Permission permission;

  std::uint64_t first_page() const { return page_floor(address); }
  std::uint64_t end() const { return address + memory_bytes; }
  /// First page boundary that is not below the end of the file's part.
  std::uint64_t file_pages_end() const {
    return file_bytes == 0 ? first_page() : page_floor(address + file_bytes + kPageSize - 1);
  }
  std::uint64_t pages_end() const { return page_floor(end() + kPageSize - 1); }
};

class ElfImage {
 public:
  static constexpr std::size_t kHeaderBytes = 64;
  static constexpr std::size_t kProgramHeaderBytes = 56;
  static constexpr std::size_t kMaxProgramHeaders = 32;

  /// Where the program headers stand in the file.
  struct HeaderTable {
    std::uint64_t offset;
    std::size_t count;  // 1 … kMaxProgramHeaders
  };

  /// Checks the file header, which is the first kHeaderBytes of a file of `file_size` bytes.
  /// Error: NotExecutable when it is not an executable for this machine.
  static Result<ElfImage> parse_header(std::span<const std::byte> header, std::uint64_t file_size);

  HeaderTable program_headers() const { return table_; }

  /// Takes the segments from the bytes of program_headers(). Error: NotExecutable when any of them is
  /// malformed, overlaps another, leaves the user half or the file, when there is none, when the program asks
  /// for an interpreter (only static programs run here) or when the entry point is not in an executable
  /// segment.
  Result<> parse_segments(std::span<const std::byte> headers);

  std::span<const ElfSegment> segments() const { return {segments_.data(), segment_count_}; }
  bool position_independent() const { return position_independent_; }
  std::uint64_t entry() const { return entry_; }
  /// Address of the program headers in memory (AT_PHDR), 0 when no segment holds them.
  std::uint64_t program_header_address() const { return header_address_; }
  std::size_t program_header_count() const { return table_.count; }
  /// One past the highest address of any segment.
  std::uint64_t end() const { return end_; }
  /// Greatest alignment that a segment asks for, at least a page: the load base is a multiple of it.
  std::uint64_t alignment() const { return alignment_; }

 private:
  static constexpr std::size_t kMaxSegments = 16;

  Result<> add_segment(const std::byte* header);
  bool executes(std::uint64_t address) const;

  std::uint64_t file_size_ = 0;
  HeaderTable table_ = {};
  bool position_independent_ = false;
  std::uint64_t entry_ = 0;
  std::uint64_t header_address_ = 0;
  std::uint64_t end_ = 0;
  std::uint64_t alignment_ = kPageSize;
  std::size_t segment_count_ = 0;
  std::array<ElfSegment, kMaxSegments> segments_ = make_segments(std::make_index_sequence<kMaxSegments>());

  template <std::size_t... I>
  static constexpr std::array<ElfSegment, kMaxSegments> make_segments(std::index_sequence<I...>) {
    return {((void)I, ElfSegment{0, 0, 0, 0, Permission::none()})...};
  }
};

}  // namespace faultline
