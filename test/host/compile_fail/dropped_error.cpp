// refused: ignoring return(ed)? value of
#include "kernel/mm/page_table.hpp"

using namespace faultline;

Result<> map(PageTable& table, Va page, Frame frame) {
#ifdef MISTAKE
  table.map(page, std::move(frame), Permission::read());
  return {};
#else
  return table.map(page, std::move(frame), Permission::read());
#endif
}
