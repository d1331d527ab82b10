#include "kernel/mm/loader.hpp"

namespace faultline {

Result<LoadedPage> FileLoader::load(std::uint64_t index) const {
  return LoadedPage{LoadedPage::Kind::Cached, TRY(file->page(index))};
}

Result<LoadedPage> PageSourceLoader::load(std::uint64_t index) const {
  Frame frame = TRY(allocate_or_reclaim(FrameContents::Any));
  const PageRequest request{base + index * kPageSize, kPageSize};
  if (!source->fetch(request, frame.bytes())) return failure(KernelError::InputOutput);
  return LoadedPage{LoadedPage::Kind::Fresh, std::move(frame)};
}

Result<LoadedPage> load_page(const AnyLoader& loader, std::uint64_t index) {
  // The alternatives in turn rather than std::visit, which may throw.
  if (const auto* anonymous = std::get_if<AnonLoader>(&loader)) return anonymous->load(index);
  if (const auto* file = std::get_if<FileLoader>(&loader)) return file->load(index);
  return std::get_if<PageSourceLoader>(&loader)->load(index);
}

}  // namespace faultline
