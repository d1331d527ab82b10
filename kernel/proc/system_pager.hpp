#pragma once
// The one place where the kernel's memory policy is chosen (make PAGER=lazy|eager).

#include <cstddef>

#include "kernel/mm/mm_struct.hpp"

#if defined(FAULTLINE_PAGER_EAGER)
#include "kernel/mm/eager_pager.hpp"
#elif defined(FAULTLINE_PAGER_LAZY)
#include "kernel/mm/lazy_pager.hpp"
#else
#error "define FAULTLINE_PAGER_LAZY or FAULTLINE_PAGER_EAGER"
#endif

namespace faultline {

#if defined(FAULTLINE_PAGER_EAGER)
using SystemPager = EagerPager;
inline constexpr const char* kSystemPagerName = "eager";
// Every byte of the stack costs memory from the start; libc takes this limit for the stacks of its threads as
// well.
inline constexpr std::size_t kUserStackBytes = 1280 * 1024;
#else
using SystemPager = LazyPager;
inline constexpr const char* kSystemPagerName = "lazy";
inline constexpr std::size_t kUserStackBytes = 8 * 1024 * 1024;
#endif

using SystemMm = MmStruct<SystemPager>;

}  // namespace faultline
