// The seam of stat.hpp: the kernel's clock tells the time of files.

#include "kernel/dev/clock.hpp"
#include "kernel/fs/stat.hpp"

namespace faultline {

Timestamp current_time() noexcept {
  const std::uint64_t now = clock::nanoseconds_since_epoch();
  return {static_cast<std::int64_t>(now / kNanosecondsPerSecond),
          static_cast<std::uint32_t>(now % kNanosecondsPerSecond)};
}

}  // namespace faultline
