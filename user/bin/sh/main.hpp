// Getting started: scripts and options.
#pragma once

#include <string>

namespace faultline::sh {

// Reads a whole script; false, with the reason reported, if it cannot be read or is not a text.
bool read_script(const std::string& path, std::string& text);

}  // namespace faultline::sh
