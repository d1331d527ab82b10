#include "test/host/random/model.hpp"

#include <algorithm>

#include "test/host/memory_file.hpp"

namespace faultline::sim {

std::uint8_t ModelFile::read(std::uint64_t index, std::size_t sample) const {
  const std::uint64_t offset = index * kPageSize + kSampleOffsets[sample];
  if (offset >= size) return 0;
  if (is_source) return static_cast<std::uint8_t>(MemoryFile::pattern_byte(offset));
  const auto found = pages.find(index);
  return found == pages.end() ? 0 : found->second[sample];
}

void ModelFile::write_bytes(std::uint64_t offset, std::uint64_t count, std::uint8_t value) {
  if (offset + count > size) size = offset + count;
  for (std::uint64_t index = offset / kPageSize; index * kPageSize < offset + count; ++index) {
    for (std::size_t sample = 0; sample < kSampleOffsets.size(); ++sample) {
      const std::uint64_t at = index * kPageSize + kSampleOffsets[sample];
      if (at >= offset && at < offset + count) write(index, sample, value);
    }
  }
}

void ModelFile::truncate(std::uint64_t new_size) {
  for (auto& [index, samples] : pages) {
    for (std::size_t sample = 0; sample < kSampleOffsets.size(); ++sample) {
      if (index * kPageSize + kSampleOffsets[sample] >= new_size) samples[sample] = 0;
    }
  }
  size = new_size;
}

const ModelPage* ModelSpace::find(std::uint64_t page) const {
  const auto found = pages_.find(page);
  return found == pages_.end() ? nullptr : &found->second;
}

bool ModelSpace::is_mapped(std::uint64_t first, std::uint64_t count) const {
  for (std::uint64_t page = first; page < first + count; ++page) {
    if (!pages_.contains(page)) return false;
  }
  return true;
}

bool ModelSpace::is_free(std::uint64_t first, std::uint64_t count) const {
  const auto next = pages_.lower_bound(first);
  return next == pages_.end() || next->first >= first + count;
}

bool ModelSpace::is_uniform(std::uint64_t first, std::uint64_t count) const {
  const ModelPage* head = find(first);
  for (std::uint64_t i = 0; i < count; ++i) {
    const ModelPage* page = find(first + i);
    if (page == nullptr || page->permission != head->permission || page->sharing != head->sharing ||
        page->file != head->file || (page->file != nullptr && page->index != head->index + i)) {
      return false;
    }
  }
  return head != nullptr;
}

void ModelSpace::take_copy(ModelPage& page) {
  for (std::size_t sample = 0; sample < page.bytes.size(); ++sample) {
    page.bytes[sample] = page.file->read(page.index, sample);
  }
  page.own = true;
}

// What happens to a page when it is mapped, or gets its first right.
void ModelSpace::appear(ModelPage& page) const {
  if (policy_.copies_file_pages_early && !page.own && !page.is_shared() && !page.permission.is_none() &&
      page.file->has_page(page.index)) {
    take_copy(page);
  }
}

std::uint64_t ModelSpace::rest_of_mapping(std::uint64_t first) const {
  const ModelPage* const head = find(first);
  std::uint64_t count = 0;
  for (const ModelPage* page = head; page != nullptr && page->mapping == head->mapping;) {
    page = find(first + ++count);
  }
  return count;
}

void ModelSpace::map(std::uint64_t first, std::uint64_t count, const ModelPage& like) {
  const std::uint64_t mapping = like.mapping != 0 ? like.mapping : ++mappings_;
  for (std::uint64_t i = 0; i < count; ++i) {
    ModelPage page = like;
    page.mapping = mapping;
    page.index = like.index + i;
    page.own = like.file == nullptr;
    page.bytes = {};
    appear(page);
    pages_[first + i] = page;
  }
}

void ModelSpace::unmap(std::uint64_t first, std::uint64_t count) {
  pages_.erase(pages_.lower_bound(first), pages_.lower_bound(first + count));
}

void ModelSpace::protect(std::uint64_t first, std::uint64_t count, Permission permission) {
  for (std::uint64_t i = first; i < first + count; ++i) {
    pages_.at(i).permission = permission;
    appear(pages_.at(i));
  }
}

void ModelSpace::discard(std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t i = first; i < first + count; ++i) {
    ModelPage& page = pages_.at(i);
    if (page.is_shared()) continue;
    const bool had_copy = page.own && page.file != nullptr;
    page.own = page.file == nullptr;
    page.bytes = {};
    if (had_copy && policy_.copies_file_pages_early && page.file->has_page(page.index)) take_copy(page);
  }
}

void ModelSpace::populate(std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t i = first; i < first + count; ++i) {
    ModelPage& page = pages_.at(i);
    if (!page.own && !page.is_shared() && page.permission.writable() && page.file->has_page(page.index))
      take_copy(page);
  }
}

void ModelSpace::move(std::uint64_t from, std::uint64_t old_count, std::uint64_t to,
                      std::uint64_t new_count) {
  const ModelPage like = pages_.at(from);
  std::vector<ModelPage> moved;
  for (std::uint64_t i = 0; i < std::min(old_count, new_count); ++i) moved.push_back(pages_.at(from + i));
  unmap(from, old_count);
  map(to, new_count, like);
  for (std::uint64_t i = 0; i < moved.size(); ++i) pages_[to + i] = moved[i];
}

void ModelSpace::forget_pages_beyond_end() {
  for (auto& [number, page] : pages_) {
    if (page.file != nullptr && !page.file->has_page(page.index)) page.own = false;
  }
}

std::optional<KernelError> ModelSpace::check(std::uint64_t number, Access access) const {
  const ModelPage* page = find(number);
  if (page == nullptr) return KernelError::NotMapped;
  if (!page->permission.allows(access)) return KernelError::AccessDenied;
  if (page->file != nullptr && !page->own && !page->file->has_page(page->index))
    return KernelError::BeyondEndOfFile;
  return std::nullopt;
}

std::uint8_t ModelSpace::read(std::uint64_t number, std::size_t sample) {
  ModelPage& page = pages_.at(number);
  appear(page);  // a page that only now exists in its file
  return page.own ? page.bytes[sample] : page.file->read(page.index, sample);
}

void ModelSpace::write(std::uint64_t number, std::size_t sample, std::uint8_t value) {
  ModelPage& page = pages_.at(number);
  if (page.is_shared()) {
    page.file->write(page.index, sample, value);
    return;
  }
  if (!page.own) take_copy(page);
  page.bytes[sample] = value;
}

}  // namespace faultline::sim
