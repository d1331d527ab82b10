#pragma once
// What an address space should do, written as simply as possible: a map from page number to bytes and
// permission.
//
// No page table, no areas, no sharing of frames; fork copies the map. Bytes are kept at a few offsets of each
// page only, so that a page costs eight bytes here; those are the offsets that sequences access.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "kernel/lib/result.hpp"
#include "kernel/mm/permission.hpp"
#include "kernel/mm/vm_area.hpp"

namespace faultline::sim {

/// The offsets in a page whose bytes are modelled: the ends, and both sides of the middle.
inline constexpr std::array<std::uint64_t, 8> kSampleOffsets = {0, 1, 7, 1000, 2047, 2048, 4090, 4095};
using Samples = std::array<std::uint8_t, kSampleOffsets.size()>;

/// A file's contents, the same for every mapping of it and for read and write; or those of a page source,
/// which nobody writes.
struct ModelFile {
  std::map<std::uint64_t, Samples> pages;  // by index; absent: zeroes
  std::uint64_t size = 0;
  bool is_source = false;  // every byte is MemoryFile::pattern_byte of its offset

  bool has_page(std::uint64_t index) const { return index < (size + kPageSize - 1) / kPageSize; }
  std::uint8_t read(std::uint64_t index, std::size_t sample) const;
  void write(std::uint64_t index, std::size_t sample, std::uint8_t value) { pages[index][sample] = value; }
  /// As write(2) of `count` equal bytes.
  void write_bytes(std::uint64_t offset, std::uint64_t count, std::uint8_t value);
  void truncate(std::uint64_t new_size);
};

struct ModelPage {
  Permission permission = Permission::none();
  Sharing sharing = Sharing::Private;
  std::uint64_t mapping = 0;        // numbers the mmap call that the page came from
  std::shared_ptr<ModelFile> file;  // nothing: private anonymous memory
  std::uint64_t index = 0;          // of the page in the file
  /// A private page with bytes of its own; without, its bytes are the file's.
  bool own = true;
  Samples bytes{};

  bool is_shared() const { return sharing == Sharing::Shared; }
};

/// How the policies differ in what a program can see.
struct ModelPolicy {
  /// A private file page is copied as soon as it is mapped with some right, not when it is written first.
  bool copies_file_pages_early;
};

class ModelSpace {
 public:
  explicit ModelSpace(ModelPolicy policy) : policy_(policy) {}

  const ModelPage* find(std::uint64_t page) const;
  bool is_mapped(std::uint64_t first, std::uint64_t count) const;
  bool is_free(std::uint64_t first, std::uint64_t count) const;
  /// True when the pages could be one area: one permission, one file with consecutive pages.
  bool is_uniform(std::uint64_t first, std::uint64_t count) const;

  /// How many pages from this one on came from one mmap call and follow one another without a hole.
  std::uint64_t rest_of_mapping(std::uint64_t first) const;

  /// A mapping of its own. With `like.mapping`, part of that one.
  void map(std::uint64_t first, std::uint64_t count, const ModelPage& like);
  void unmap(std::uint64_t first, std::uint64_t count);
  void protect(std::uint64_t first, std::uint64_t count, Permission permission);
  void discard(std::uint64_t first, std::uint64_t count);
  /// Pages made in advance: private ones that may be written are copied now.
  void populate(std::uint64_t first, std::uint64_t count);
  void move(std::uint64_t from, std::uint64_t old_count, std::uint64_t to, std::uint64_t new_count);
  /// After a file has shrunk: private copies of pages that are no more go as well.
  void forget_pages_beyond_end();

  /// The error that an access of the page meets, if any.
  std::optional<KernelError> check(std::uint64_t page, Access access) const;
  /// Accesses that check() allows.
  std::uint8_t read(std::uint64_t page, std::size_t sample);
  void write(std::uint64_t page, std::size_t sample, std::uint8_t value);

  const std::map<std::uint64_t, ModelPage>& pages() const { return pages_; }

 private:
  void appear(ModelPage& page) const;
  static void take_copy(ModelPage& page);

  ModelPolicy policy_;
  std::uint64_t mappings_ = 0;
  std::map<std::uint64_t, ModelPage> pages_;
};

}  // namespace faultline::sim
