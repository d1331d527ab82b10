// refused: use of deleted function
#include "kernel/mm/tlb.hpp"

using namespace faultline;

void hand_over(StaleEntry&& entry, TlbBatch& batch) {
#ifdef MISTAKE
  StaleEntry copy = entry;
  batch.absorb(std::move(copy));
#else
  batch.absorb(std::move(entry));
#endif
}
