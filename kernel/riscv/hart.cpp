#include "kernel/riscv/hart.hpp"

#include <cstddef>

#include "kernel/lib/lock_rank.hpp"
#include "kernel/mm/hart_local.hpp"
#include "kernel/riscv/layout.h"

namespace faultline {

static_assert(offsetof(Hart, state) == 0 && hart_state::kUserMode == HART_USER_MODE);

std::array<Hart, kMaxHarts> harts;

namespace {
unsigned number_of_harts = 0;
}

unsigned hart_count() { return number_of_harts; }
void set_hart_count(unsigned count) { number_of_harts = count; }

HartSet online_harts() {
  HartSet set;
  for (unsigned i = 0; i < number_of_harts; ++i) {
    if (harts[i].online.load(std::memory_order_acquire)) set = set.with(static_cast<HartId>(i));
  }
  return set;
}

#ifdef FAULTLINE_CHECK_LOCK_RANKS
namespace {
HartLocal<HeldRanks> ranks;
}
HeldRanks* held_ranks() noexcept {
  // Start-up takes locks before it has a thread; there is one hart then.
  return __builtin_thread_pointer() == nullptr ? nullptr : &ranks[platform::current_hart()];
}
#endif

}  // namespace faultline
