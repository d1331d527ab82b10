// File names that match a pattern.
#pragma once

#include <string>
#include <vector>

namespace faultline::sh {

// The sorted names of the existing files that match; none if there are none. A backslash in the pattern
// protects the next character. A name that starts with a dot is only found if the pattern says the dot.
std::vector<std::string> glob(const std::string& pattern);

}  // namespace faultline::sh
