#pragma once
// How the simulated machine says that the code under test broke a rule of the machine.

#include <cstdint>
#include <ios>
#include <ostream>
#include <sstream>
#include <string>

#include "kernel/mm/address.hpp"

namespace faultline::sim {

/// Reports a failure to whoever runs the machine: the doctest binary fails the current test case and goes on,
/// the fuzzer and the benchmarks abort. Each program links exactly one definition.
void report_failure(const std::string& message);

/// A number to be printed as 0x….
struct Hex {
  std::uint64_t value;
};
inline Hex hex(std::uint64_t value) { return {value}; }
inline Hex hex(Pa pa) { return {pa.value()}; }
inline Hex hex(Va va) { return {va.value()}; }
inline std::ostream& operator<<(std::ostream& out, Hex hex) {
  return out << "0x" << std::hex << hex.value << std::dec;
}

/// The parts printed one after another.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace faultline::sim
