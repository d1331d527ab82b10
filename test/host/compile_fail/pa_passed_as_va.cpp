// refused: (could not convert|cannot convert|no matching function|no known conversion).*
#include "kernel/mm/page_table.hpp"

using namespace faultline;

std::optional<Translation> find(PageTable& table, Pa pa, Va va) {
#ifdef MISTAKE
  (void)va;
  return table.walk(pa);
#else
  (void)pa;
  return table.walk(va);
#endif
}
