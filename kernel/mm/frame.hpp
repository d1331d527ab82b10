#pragma once
// Ownership of physical memory, one page at a time.
//
//   Frame    owns one reference to a 4 KiB frame, which goes back to the machine with its last reference
//   PageRef  borrows the bytes of a page that someone else keeps alive
//
// References are counted in FrameInfo::references. A page-table entry holds one reference too: Frame::leak()
// turns a handle into the address that is stored in the entry, Frame::adopt() turns it back. The shared zero
// page is mapped without being counted (Pte::is_counted), so that read faults on untouched memory write no
// common cache line.

#include <optional>
#include <span>
#include <utility>

#include "kernel/lib/lock_rank.hpp"
#include "kernel/lib/panic.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/mm/platform.hpp"

namespace faultline {

/// Borrowed view of the kPageSize bytes of a page. Valid as long as somebody holds the frame.
class PageRef {
 public:
  explicit PageRef(std::byte* first_byte) noexcept : first_byte_(first_byte) {}
  /// The page at `frame`, which somebody else keeps allocated.
  static PageRef from_pa(Pa frame) noexcept { return PageRef(platform::frame_bytes(frame)); }

  std::span<std::byte, kPageSize> bytes() const noexcept {
    return std::span<std::byte, kPageSize>(first_byte_, kPageSize);
  }
  std::byte* data() const noexcept { return first_byte_; }

  /// Sets all bytes to 0, or to those of another page; both by plain stores, not atomically.
  void zero() const noexcept;
  void copy_from(PageRef source) const noexcept;

 private:
  std::byte* first_byte_;
};

/// One reference to a physical frame, or nothing. Moves, does not copy: share() says that a reference is
/// made.
class Frame {
 public:
  constexpr Frame() noexcept = default;
  Frame(Frame&& other) noexcept : address_(std::exchange(other.address_, kNothing)) {}
  Frame& operator=(Frame&& other) noexcept {
    if (this != &other) {
      drop();
      address_ = std::exchange(other.address_, kNothing);
    }
    return *this;
  }
  ~Frame() { drop(); }

  /// A fresh frame that nobody else owns. Error: OutOfMemory.
  [[nodiscard]] static Result<Frame> allocate(FrameContents contents) noexcept;

  /// Takes over one reference that is already counted, from leak() or from a page-table entry.
  static Frame adopt(Pa frame) noexcept { return Frame(frame.value()); }
  /// Takes one more reference to a frame that somebody keeps alive during the call.
  static Frame share(Pa frame) noexcept {
    platform::frame_info(frame).references.fetch_add(1, std::memory_order_relaxed);
    return adopt(frame);
  }
  /// One more reference to the same frame; nothing gives nothing.
  Frame share() const noexcept { return *this ? share(pa()) : Frame(); }
  /// Gives the reference up to a place that stores the address and adopts it later.
  [[nodiscard]] Pa leak() noexcept {
    const Pa frame = pa();
    address_ = kNothing;
    return frame;
  }

  explicit operator bool() const noexcept { return address_ != kNothing; }
  Pa pa() const noexcept { return Pa::checked(address_); }
  PageRef page() const noexcept { return PageRef::from_pa(pa()); }
  std::span<std::byte, kPageSize> bytes() const noexcept { return page().bytes(); }

  /// True when no other reference exists. Stable only while nobody else can reach the frame to make one.
  bool is_sole_owner() const noexcept { return has_sole_owner(pa()); }
  /// The same for whoever holds the only reference that he knows of in another form: a page-table entry, say.
  static bool has_sole_owner(Pa frame) noexcept {
    return platform::frame_info(frame).references.load(std::memory_order_acquire) == 1;
  }

 private:
  static constexpr std::uint64_t kNothing = ~std::uint64_t{0};
  explicit constexpr Frame(std::uint64_t address) noexcept : address_(address) {}
  void drop() noexcept {
    if (address_ != kNothing) release_reference(pa());
  }
  static void release_reference(Pa frame) noexcept;

  std::uint64_t address_ = kNothing;
};

/// What allocate_or_reclaim does when there is no frame (page_cache_reclaim.cpp).
[[nodiscard]] Result<Frame> reclaim_and_allocate(FrameContents contents);

/// A frame, after dropping clean cached pages if that is what it takes. Not under a spin lock. Error:
/// OutOfMemory.
[[nodiscard]] inline Result<Frame> allocate_or_reclaim(FrameContents contents) {
  may_sleep();  // it does not, but what it may have to search has locks that come before its callers'
  if (const std::optional<Pa> frame = platform::allocate_frame(contents)) [[likely]]
    return Frame::adopt(*frame);
  return reclaim_and_allocate(contents);
}

}  // namespace faultline
