#pragma once
// Loaders supply the contents of an area's pages. Adding a kind of memory is adding a loader: a type that
// satisfies PageLoader, and an alternative of AnyLoader.

#include <concepts>
#include <cstdint>
#include <variant>

#include "kernel/mm/frame.hpp"
#include "kernel/mm/page_source.hpp"
#include "kernel/mm/regular_file.hpp"

namespace faultline {

/// What a loader found for one page.
struct LoadedPage {
  enum class Kind : std::uint8_t {
    Zero,   // nothing but zeroes: no frame, the caller maps the zero page or makes one
    Fresh,  // a frame that nobody else has
    Cached  // a frame of the page cache: a private mapping may read it and must copy it before it writes
  };
  Kind kind;
  Frame frame;
};

/// `index` counts the loader's pages: for an area, VmArea::page_index of the address.
template <class L>
concept PageLoader = std::copyable<L> && requires(const L& loader, std::uint64_t index) {
  /// The page's contents. May sleep. Errors: BeyondEndOfFile, InputOutput, OutOfMemory.
  { loader.load(index) } -> std::same_as<Result<LoadedPage>>;
};

/// Memory that starts as zeroes.
struct AnonLoader {
  [[nodiscard]] Result<LoadedPage> load(std::uint64_t) const {
    return LoadedPage{LoadedPage::Kind::Zero, Frame()};
  }
};

/// Pages of a file, by way of its page cache.
struct FileLoader {
  Ref<RegularFile> file;
  [[nodiscard]] Result<LoadedPage> load(std::uint64_t index) const;
};

/// Pages fetched from a source when they are first touched.
struct PageSourceLoader {
  Ref<PageSource> source;
  std::uint64_t base;  // the source's address of page 0
  [[nodiscard]] Result<LoadedPage> load(std::uint64_t index) const;
};

static_assert(PageLoader<AnonLoader> && PageLoader<FileLoader> && PageLoader<PageSourceLoader>);

using AnyLoader = std::variant<AnonLoader, FileLoader, PageSourceLoader>;

[[nodiscard]] Result<LoadedPage> load_page(const AnyLoader& loader, std::uint64_t index);

/// The file behind a loader, or null.
inline RegularFile* file_of(const AnyLoader& loader) noexcept {
  const FileLoader* file = std::get_if<FileLoader>(&loader);
  return file != nullptr ? file->file.get() : nullptr;
}

}  // namespace faultline
