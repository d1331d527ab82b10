// From words as written to the strings that commands get.
#pragma once

#include <string>
#include <vector>

#include "user/bin/sh/shell.hpp"
#include "user/bin/sh/syntax.hpp"

namespace faultline::sh {

// All of these report their own errors; after one, the shell is stopping() (see Shell::abandon) and
// the result means nothing.

// Expands with field splitting and file name patterns; a word may become no field or many.
void expand_fields(Shell& shell, const Word& word, std::vector<std::string>& fields);
// Expands to exactly one string: the value of an assignment, a here-document, the target of a redirection.
std::string expand_string(Shell& shell, const Word& word);
// The same as a pattern for match_pattern: quoted characters are escaped.
std::string expand_pattern(Shell& shell, const Word& word);

}  // namespace faultline::sh
