#pragma once
// Pages from a memory file: the image of the source's memory, byte 0 of which is address `base`.

#include "kernel/mm/page_source.hpp"

namespace faultline {

/// A file read at given positions; the machine's part of MemoryFileSource.
class PositionedReader : public RefCounted {
 public:
  /// Reads up to out.size() bytes at `position` (bytes from the start). Returns how many were read; 0 at the
  /// end. Errors: Open when the file cannot be opened, Io when reading fails.
  [[nodiscard]] virtual std::expected<std::size_t, SourceError> read_at(std::uint64_t position,
                                                                        std::span<std::byte> out) = 0;
};

class MemoryFileSource : public PageSource {
 public:
  MemoryFileSource(Ref<PositionedReader> file, std::uint64_t base) : file_(std::move(file)), base_(base) {}

  /// Reads at request.ipa - base. Short when the file ends before the page does or the page lies before
  /// `base`.
  [[nodiscard]] std::expected<void, SourceError> fetch(const PageRequest& request,
                                                       std::span<std::byte> out) override;

 private:
  Ref<PositionedReader> file_;
  std::uint64_t base_;
};

}  // namespace faultline
