#include "kernel/fs/memory_relief.hpp"

#include "kernel/fs/file_system.hpp"
#include "kernel/mm/page_cache.hpp"
#include "kernel/riscv/kernel_stack.hpp"

namespace faultline {

namespace {
constexpr std::size_t kReclaimedAtOnce = 64;
}

bool relieve_memory() {
  if (PageCache::reclaim(kReclaimedAtOnce) > 0) return true;
  if (kernel_stacks::release_cached()) return true;
  if (PageCache::reclaim_by_writing(kReclaimedAtOnce) > 0) return true;
  write_back_some();
  return PageCache::reclaim(kReclaimedAtOnce) > 0 || drop_file_system_caches() > 0;
}

}  // namespace faultline
