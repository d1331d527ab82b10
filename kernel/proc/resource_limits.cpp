#include "kernel/proc/resource_limits.hpp"

#include "kernel/proc/file_table.hpp"
#include "kernel/proc/system_pager.hpp"

namespace faultline {

// Linux's defaults, as far as they do not depend on the size of the machine.
void set_initial_limits(ResourceLimits& limits, std::uint64_t threads) {
  constexpr std::uint64_t kMessageQueueBytes = 819'200;
  const auto both = [&](Resource resource, std::uint64_t value) {
    limits.set(resource, {.soft = value, .hard = value});
  };
  limits.set(Resource::Stack, {.soft = kUserStackBytes});
  limits.set(Resource::Core, {.soft = 0});
  limits.set(Resource::OpenFiles, {.soft = FileTable::kDefaultLimit, .hard = FileTable::kMaxLimit});
  both(Resource::Processes, threads);
  both(Resource::PendingSignals, threads);
  both(Resource::LockedMemory, ResourceLimits::kLockedBytes);
  both(Resource::MessageQueues, kMessageQueueBytes);
  both(Resource::Nice, 0);
  both(Resource::RealTimePriority, 0);
}

}  // namespace faultline
