#pragma once
// The name and version of this kernel, as programs and people see it.

#include <string_view>

namespace faultline {

/// The Linux release whose system calls programs may expect.
inline constexpr std::string_view kCompatibleRelease = "6.1.0-faultline";
inline constexpr std::string_view kVersionText = "Faultline 0.1";

}  // namespace faultline
