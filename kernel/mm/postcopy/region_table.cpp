#include "kernel/mm/postcopy/region_table.hpp"

#include <algorithm>

namespace faultline {

RegionTable::~RegionTable() { Box<Regions> last(current_.load(std::memory_order_relaxed)); }

Result<> RegionTable::add(PostcopyRegion region) {
  if (region.size == 0 || region.size - 1 > UINT64_MAX - region.base)
    return failure(KernelError::InvalidArgument);

  SpinGuard guard(writers_);
  Regions* const before = current_.load(std::memory_order_relaxed);
  auto after = TRY(make_box<Regions>());
  TRY(after->reserve((before == nullptr ? 0 : before->size()) + 1));
  bool placed = false;
  const auto place = [&]() -> Result<> {
    placed = true;
    return after->push_back(region);
  };
  if (before != nullptr) {
    for (const PostcopyRegion& other : *before) {
      const bool overlaps = region.contains(other.base) || other.contains(region.base);
      if (overlaps) return failure(KernelError::AlreadyMapped);
      if (!placed && region.base < other.base) TRY(place());
      TRY(after->push_back(other));
    }
  }
  if (!placed) TRY(place());

  current_.store(after.release(), std::memory_order_seq_cst);
  while (readers_.load(std::memory_order_seq_cst) != 0) cpu_relax();
  Box<Regions> retired(before);
  return {};
}

std::optional<PostcopyRegion> RegionTable::find(std::uint64_t ipa) const {
  std::optional<PostcopyRegion> found;
  readers_.fetch_add(1, std::memory_order_seq_cst);
  if (const Regions* regions = current_.load(std::memory_order_seq_cst)) {
    const auto after = std::upper_bound(
        regions->begin(), regions->end(), ipa,
        [](std::uint64_t value, const PostcopyRegion& region) { return value < region.base; });
    if (after != regions->begin() && (after - 1)->contains(ipa)) found = *(after - 1);
  }
  readers_.fetch_sub(1, std::memory_order_seq_cst);
  return found;
}

}  // namespace faultline
