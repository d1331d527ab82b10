// refused: ignoring return(ed)? value of
#include "kernel/mm/page_table.hpp"

using namespace faultline;

Result<> remove(PageTable& table, Va page, TlbBatch& batch) {
#ifdef MISTAKE
  (void)batch;
  table.unmap(page);
#else
  batch.absorb(TRY(table.unmap(page)));
#endif
  return {};
}
