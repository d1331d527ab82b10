#pragma once
// Where the contents of a postcopy region come from: the machine that runs the program no longer holds its
// memory, another place does, and pages are fetched when they are first touched.

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "kernel/lib/ref.hpp"

namespace faultline {

/// One page to fetch. `ipa` (intermediate physical address: the address by which the source knows the page)
/// is a multiple of `page_size`, which is in bytes and a power of two.
struct PageRequest {
  std::uint64_t ipa;
  std::uint64_t page_size;
};

/// Why a source could not deliver a page.
enum class SourceError : std::uint8_t {
  Short,     // the source ended in the middle of the page
  Open,      // the source does not exist or could not be opened or reached
  Io,        // reading failed
  Protocol,  // the page server answered for another request
  TimedOut,  // the page server did not answer in time
};

/// Supplier of pages. Several threads may fetch at once.
class PageSource : public RefCounted {
 public:
  /// Fills `out` (request.page_size bytes) with the page's contents. May sleep, but not for ever. On an error
  /// the contents of `out` are unspecified and must not be used.
  [[nodiscard]] virtual std::expected<void, SourceError> fetch(const PageRequest& request,
                                                               std::span<std::byte> out) = 0;
};

}  // namespace faultline
