#include "kernel/mm/postcopy/postcopy_pager.hpp"

#include <algorithm>
#include <bit>

namespace faultline {

Result<PagerHandle> PostcopyPager::create(Ref<PageSource> source, PagerConfig config) {
  return make_ref<PostcopyPager>(std::move(source), std::move(config));
}

Result<> PostcopyPager::register_region(std::uint64_t base, std::uint64_t size) {
  return regions_.add(PostcopyRegion{base, size});
}

std::expected<PageRequest, PagerError> PostcopyPager::locate(std::uint64_t ipa, std::uint64_t page_size) {
  const auto region = regions_.find(ipa);
  if (std::has_single_bit(page_size) && page_size <= kMaxPostcopyPageSize && region) {
    const PageRequest request{ipa & ~(page_size - 1), page_size};
    if (region->contains(request.ipa, page_size)) return request;
  }
  out_of_region_.fetch_add(1, std::memory_order_relaxed);
  return std::unexpected(PagerError::out_of_region());
}

std::expected<void, PagerError> PostcopyPager::fetch(const PageRequest& request, std::span<std::byte> out) {
  if (auto fetched = source_->fetch(request, out); !fetched) {
    source_errors_.fetch_add(1, std::memory_order_relaxed);
    return std::unexpected(PagerError::source(fetched.error()));
  }
  return {};
}

std::expected<void, PagerError> PostcopyPager::prewarm() {
  for (const std::uint64_t ipa : config_.prewarm) {
    const auto request = locate(ipa, config_.prewarm_page_size);
    if (!request) return std::unexpected(request.error());
    if (holds_warm_page(request->ipa)) continue;

    WarmPage page{request->ipa, {}};
    // Memory that is out is the source's failure to deliver, as far as the caller is concerned.
    if (!page.bytes.resize(request->page_size)) return std::unexpected(PagerError::source(SourceError::Io));
    if (auto fetched = fetch(*request, {page.bytes.data(), page.bytes.size()}); !fetched) return fetched;

    SpinGuard guard(warm_lock_);
    if (!warm_pages_.push_back(std::move(page))) return std::unexpected(PagerError::source(SourceError::Io));
    prewarmed_.fetch_add(1, std::memory_order_relaxed);
  }
  return {};
}

bool PostcopyPager::holds_warm_page(std::uint64_t ipa) {
  SpinGuard guard(warm_lock_);
  return std::ranges::any_of(warm_pages_, [&](const WarmPage& page) { return page.ipa == ipa; });
}

Vector<std::byte> PostcopyPager::take_warm_page(const PageRequest& request) {
  SpinGuard guard(warm_lock_);
  for (WarmPage& page : warm_pages_) {
    if (page.ipa == request.ipa && page.bytes.size() == request.page_size) {
      Vector<std::byte> bytes = std::move(page.bytes);
      page = std::move(warm_pages_.back());
      warm_pages_.pop_back();
      return bytes;
    }
  }
  return {};
}

std::expected<std::span<std::byte>, PagerError> PostcopyPager::serve_fault(std::uint64_t ipa,
                                                                           std::uint64_t page_size,
                                                                           std::span<std::byte> out) {
  const auto request = locate(ipa, page_size);
  if (!request) return std::unexpected(request.error());
  if (out.size() < page_size) {
    out_of_region_.fetch_add(1, std::memory_order_relaxed);
    return std::unexpected(PagerError::out_of_region());
  }
  out = out.first(page_size);
  if (const Vector<std::byte> warm = take_warm_page(*request); !warm.empty()) {
    std::ranges::copy(warm, out.begin());
  } else if (auto fetched = fetch(*request, out); !fetched) {
    return std::unexpected(fetched.error());
  }
  faults_.fetch_add(1, std::memory_order_relaxed);
  return out;
}

PagerStatsSnapshot PostcopyPager::stats() const {
  const auto read = [](const std::atomic<std::uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  return {.faults = read(faults_),
          .prewarmed = read(prewarmed_),
          .reinstalls = read(reinstalls_),
          .forwarded = read(forwarded_),
          .out_of_region = read(out_of_region_),
          .source_errors = read(source_errors_)};
}

std::expected<void, SourceError> PostcopySource::fetch(const PageRequest& request, std::span<std::byte> out) {
  if (auto served = pager_->serve_fault(request.ipa, request.page_size, out); !served) {
    return std::unexpected(served.error().is_out_of_region() ? SourceError::Short
                                                             : served.error().source_error());
  }
  return {};
}

}  // namespace faultline
