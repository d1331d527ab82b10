// refused: no matching function for call
#include "kernel/mm/page_table.hpp"

using namespace faultline;

Result<> make_read_only(PageTable& table, VaRange range) {
#ifdef MISTAKE
  return table.protect(range, Permission::read());
#else
  TlbBatch batch(table.space());
  return table.protect(range, Permission::read(), batch);
#endif
}
