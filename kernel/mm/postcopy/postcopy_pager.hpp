#pragma once
// PostcopyPager: regions whose pages still live somewhere else and come over when they are touched.
//
//      faulting thread                 fault server                    PostcopyPager               PageSource
//      touches ipa  ──── fault ────►   (userfaultfd, signal,  ──────►  serve_fault(ipa, size) ──► fetch
//                   ◄── page mapped ── or an area's loader)        ◄── the page's bytes       ◄──
//
// The pager knows which addresses are its own, turns a faulting address into the page to fetch, and counts.
// How faults are caught and how the bytes get into place is the back end's part: for an area of another
// pager, the area's loader (PostcopySource); on the host also a server thread (test/host/postcopy). No system
// call maps such an area, so the linker leaves all this out of the kernel.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "kernel/lib/duration.hpp"
#include "kernel/lib/ref.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/lib/vector.hpp"
#include "kernel/mm/page_source.hpp"
#include "kernel/mm/postcopy/region_table.hpp"

namespace faultline {

class PostcopyPager;

/// Keeps a pager alive: held by fault servers and loaders for as long as they may serve faults.
using PagerHandle = Ref<PostcopyPager>;

struct PagerConfig {
  /// Addresses whose pages prewarm() fetches ahead of their first fault.
  Vector<std::uint64_t> prewarm = {};
  /// Size of the pages that prewarm() fetches, in bytes; a power of two, at most kMaxPostcopyPageSize.
  std::uint64_t prewarm_page_size = 4096;
  /// How long a fault server waits for faults before it looks at shutdown_requested() and at its handler
  /// again.
  Duration poll_interval = Duration::milliseconds(1000);
};

inline constexpr std::uint64_t kMaxPostcopyPageSize = std::uint64_t{2} << 20;

/// Why a fault could not be served.
class PagerError {
 public:
  enum class Kind : std::uint8_t { OutOfRegion, Source };

  static constexpr PagerError out_of_region() { return PagerError(Kind::OutOfRegion, SourceError::Io); }
  static constexpr PagerError source(SourceError error) { return PagerError(Kind::Source, error); }

  constexpr Kind kind() const { return kind_; }
  constexpr bool is_out_of_region() const { return kind_ == Kind::OutOfRegion; }
  /// The source's own error; only for Kind::Source.
  constexpr SourceError source_error() const {
    ASSERT(kind_ == Kind::Source);
    return source_error_;
  }
  friend constexpr bool operator==(const PagerError& a, const PagerError& b) {
    return a.kind_ == b.kind_ && (a.kind_ == Kind::OutOfRegion || a.source_error_ == b.source_error_);
  }

 private:
  constexpr PagerError(Kind kind, SourceError error) : kind_(kind), source_error_(error) {}
  Kind kind_;
  SourceError source_error_;
};

/// The counters at one moment.
struct PagerStatsSnapshot {
  std::uint64_t faults = 0;         // pages delivered to faults
  std::uint64_t prewarmed = 0;      // pages fetched by prewarm()
  std::uint64_t reinstalls = 0;     // times a server put its fault handler back in place
  std::uint64_t forwarded = 0;      // faults outside every region, passed to the previous handler
  std::uint64_t out_of_region = 0;  // requests refused because no region holds them
  std::uint64_t source_errors = 0;  // requests that failed in the source
};

class PostcopyPager : public RefCounted {
 public:
  /// A pager over `source`, without regions. Error: OutOfMemory.
  [[nodiscard]] static Result<PagerHandle> create(Ref<PageSource> source, PagerConfig config);

  /// Registers [base, base + size); faults on addresses inside are served from then on. Errors:
  /// InvalidArgument (empty or wrapping), AlreadyMapped (overlap), OutOfMemory.
  [[nodiscard]] Result<> register_region(std::uint64_t base, std::uint64_t size);

  /// Fetches the pages of PagerConfig::prewarm, in order, and keeps each until its first fault. Stops at the
  /// first error and returns it; pages fetched before stay. A page that is kept already is not fetched again.
  [[nodiscard]] std::expected<void, PagerError> prewarm();

  /// Delivers the page of `page_size` bytes (a power of two) around `ipa` into `out`, which must hold at
  /// least page_size bytes; returns the bytes written. OutOfRegion when the page does not lie inside one
  /// region, or page_size is no page size or exceeds `out`; Source when the source failed. May sleep; several
  /// threads may call it at once.
  [[nodiscard]] std::expected<std::span<std::byte>, PagerError> serve_fault(std::uint64_t ipa,
                                                                            std::uint64_t page_size,
                                                                            std::span<std::byte> out);

  /// True if `ipa` lies in a registered region. Safe in a signal handler.
  bool contains_ipa(std::uint64_t ipa) const { return regions_.find(ipa).has_value(); }

  PagerStatsSnapshot stats() const;

  /// Asks every server of this pager to end at its next poll boundary.
  void request_shutdown() { shutdown_.store(true, std::memory_order_release); }
  bool shutdown_requested() const { return shutdown_.load(std::memory_order_acquire); }

  /// One more owner of this pager.
  PagerHandle handle() { return PagerHandle::share(*this); }

  const PagerConfig& config() const { return config_; }

  /// For fault servers: counts a handler put back in place, and a fault passed on. Safe in a signal handler.
  void count_reinstall() { reinstalls_.fetch_add(1, std::memory_order_relaxed); }
  void count_forwarded() { forwarded_.fetch_add(1, std::memory_order_relaxed); }

 private:
  friend Result<PagerHandle> make_ref<PostcopyPager>(Ref<PageSource>&&, PagerConfig&&);
  PostcopyPager(Ref<PageSource> source, PagerConfig config)
      : source_(std::move(source)), config_(std::move(config)) {}

  struct WarmPage {
    std::uint64_t ipa;
    Vector<std::byte> bytes;
  };

  std::expected<PageRequest, PagerError> locate(std::uint64_t ipa, std::uint64_t page_size);
  std::expected<void, PagerError> fetch(const PageRequest& request, std::span<std::byte> out);
  bool holds_warm_page(std::uint64_t ipa);
  Vector<std::byte> take_warm_page(const PageRequest& request);

  Ref<PageSource> source_;
  PagerConfig config_;
  RegionTable regions_;
  SpinLock warm_lock_{LockRank::Leaf};
  Vector<WarmPage> warm_pages_;
  std::atomic<std::uint64_t> faults_ = 0, prewarmed_ = 0, reinstalls_ = 0, forwarded_ = 0, out_of_region_ = 0,
                             source_errors_ = 0;
  std::atomic<bool> shutdown_ = false;
};

/// A pager as the page source of a memory area: lets another pager serve an area from a postcopy region.
class PostcopySource : public PageSource {
 public:
  explicit PostcopySource(PagerHandle pager) : pager_(std::move(pager)) {}
  [[nodiscard]] std::expected<void, SourceError> fetch(const PageRequest& request,
                                                       std::span<std::byte> out) override;

 private:
  PagerHandle pager_;
};

}  // namespace faultline
