#pragma once
// The kernel's memory policy: the pager that make PAGER= has chosen from the list of mm/pagers.hpp, or, with
// PAGER=any, all of them to choose from for each program.

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kernel/mm/any_pager.hpp"
#include "kernel/mm/mm_struct.hpp"

#ifndef FAULTLINE_PAGER
#error "define FAULTLINE_PAGER as AnyPager or as one of the pagers in mm/pagers.hpp"
#endif

namespace faultline {

using SystemPager = FAULTLINE_PAGER;
using SystemMm = MmStruct<SystemPager>;

template <class P>
concept OffersChoice = requires(std::size_t place) {
  { P::choices() } -> std::same_as<std::span<const PagerTraits* const>>;
  P(place);
};

/// The policies that this kernel has, the default first.
template <class P = SystemPager>
std::span<const PagerTraits* const> system_pagers() {
  if constexpr (OffersChoice<P>) {
    return P::choices();
  } else {
    static constexpr const PagerTraits* kOnly[] = {&P::kTraits};
    return kOnly;
  }
}

/// One of system_pagers().
class PagerChoice {
 public:
  /// The default.
  constexpr PagerChoice() = default;
  /// Nothing when this kernel has none of that name.
  static std::optional<PagerChoice> named(std::string_view name) {
    const auto pagers = system_pagers();
    const auto found = std::ranges::find_if(pagers, [&](auto* traits) { return traits->name == name; });
    if (found == pagers.end()) return std::nullopt;
    return PagerChoice(static_cast<std::uint8_t>(found - pagers.begin()));
  }

  template <class P = SystemPager>
  P make() const {
    if constexpr (OffersChoice<P>) {
      return P(place_);
    } else {
      return P();
    }
  }

 private:
  explicit constexpr PagerChoice(std::uint8_t place) : place_(place) {}
  std::uint8_t place_ = 0;  // in system_pagers()
};

// Where every byte of the stack costs memory from the start it is small; libc takes this limit for the stacks
// of its threads as well.
inline constexpr std::size_t kUserStackBytes =
    SystemPager::kTraits.loads_in_mmap ? 1280 * 1024 : 8 * 1024 * 1024;

}  // namespace faultline
