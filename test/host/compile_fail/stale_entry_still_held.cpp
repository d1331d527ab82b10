// refused: cannot bind rvalue reference
#include "kernel/mm/tlb.hpp"

using namespace faultline;

void hand_over(StaleEntry&& entry, TlbBatch& batch) {
#ifdef MISTAKE
  batch.absorb(entry);
#else
  batch.absorb(std::move(entry));
#endif
}
