#pragma once
// The pagers to choose from (make PAGER=NAME): the one list of them. The makefiles read it, so that a pager
// named here is built, tested and measured like the others.

#include "kernel/mm/cluster_pager.hpp"
#include "kernel/mm/eager_pager.hpp"
#include "kernel/mm/lazy_pager.hpp"

// ROW(type) for each, with BETWEEN between them; the first is the default.
#define FAULTLINE_PAGERS(ROW, BETWEEN)   \
  ROW(LazyPager) BETWEEN ROW(EagerPager) \
  BETWEEN ROW(ClusterPager)
