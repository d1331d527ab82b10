// refused: no matching function for call
#include "kernel/mm/page_table.hpp"

using namespace faultline;

void install(Space& space, Va page, PteSlot slot, FrameInfo& table, Frame frame) {
#ifdef MISTAKE
  (void)table;
  LockedEntry entry(space, page, slot);
#else
  LockedEntry entry(space, page, slot, TableGuard(table));
#endif
  entry.install(std::move(frame), Permission::read(), 0, false);
}
