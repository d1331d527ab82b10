// refused: ignoring return(ed)? value of type|ignoring returned value
#include "kernel/mm/page_table.hpp"

using namespace faultline;

void remove(LockedEntry& entry, TlbBatch& batch) {
#ifdef MISTAKE
  entry.remove();
  (void)batch;
#else
  batch.absorb(entry.remove());
#endif
}
