#pragma once
// The kernel's memory policy: the pager that make PAGER= has chosen from the list of mm/pagers.hpp.

#include <cstddef>

#include "kernel/mm/mm_struct.hpp"
#include "kernel/mm/pagers.hpp"

#ifndef FAULTLINE_PAGER
#error "define FAULTLINE_PAGER as one of the pagers in mm/pagers.hpp"
#endif

namespace faultline {

using SystemPager = FAULTLINE_PAGER;
using SystemMm = MmStruct<SystemPager>;

// Where every byte of the stack costs memory from the start it is small; libc takes this limit for the stacks
// of its threads as well.
inline constexpr std::size_t kUserStackBytes =
    SystemPager::kTraits.loads_in_mmap ? 1280 * 1024 : 8 * 1024 * 1024;

}  // namespace faultline
