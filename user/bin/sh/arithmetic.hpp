// $((expression)): the integer arithmetic of C on 64 bits.
#pragma once

#include <string>

#include "user/bin/sh/variables.hpp"

namespace faultline::sh {

// Overflow wraps around. On an error returns false with the reason in `error`.
bool evaluate_arithmetic(Variables& variables, const std::string& expression, long long& value,
                         std::string& error);

}  // namespace faultline::sh
