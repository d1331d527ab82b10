// refused: (could not convert|cannot convert|no matching function|no known conversion).*
#include "kernel/mm/page_table.hpp"

using namespace faultline;

std::optional<Translation> find(PageTable& table, std::uint64_t number) {
#ifdef MISTAKE
  return table.walk(number);
#else
  return table.walk(Va::checked(number));
#endif
}
