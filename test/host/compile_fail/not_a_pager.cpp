// refused: static assertion failed
#include "kernel/mm/lazy_pager.hpp"

using namespace faultline;

/// A pager in all but one: it cannot say whether an access is allowed.
class AlmostPager : public LazyPager {
 public:
  Result<AlmostPager> fork(PageTable& table, PageTable& child_table);
#ifdef MISTAKE
  bool access_ok(Va, Access) const = delete;
#endif
};

static_assert(Pager<AlmostPager>);
