#include "kernel/mm/postcopy/memory_file_source.hpp"

namespace faultline {

std::expected<void, SourceError> MemoryFileSource::fetch(const PageRequest& request,
                                                         std::span<std::byte> out) {
  if (request.ipa < base_ || out.size() < request.page_size) return std::unexpected(SourceError::Short);
  out = out.first(request.page_size);
  for (std::uint64_t position = request.ipa - base_; !out.empty();) {
    const auto count = file_->read_at(position, out);
    if (!count) return std::unexpected(count.error());
    if (*count == 0 || *count > out.size()) return std::unexpected(SourceError::Short);
    position += *count;
    out = out.subspan(*count);
  }
  return {};
}

}  // namespace faultline
