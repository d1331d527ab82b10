#pragma once
// How many threads have wanted a hart lately: averages over one, five and fifteen minutes, as /proc/loadavg
// has them.
//
// An idle machine has no ticks that could count, so a sample that comes late stands for all that are missing:
// the harts look whether one is due when they switch threads, and tell how many threads wanted a hart until
// then.

#include <array>
#include <cstdint>

#include "kernel/lib/time.hpp"

namespace faultline::load_average {

/// 1.00 in the values of current().
inline constexpr std::uint64_t kOne = 2048;

/// Whether take_sample has something to do; cheap.
bool is_due(Ticks now);

/// `threads`: those that ran or waited for a hart since the last sample. Of several harts that call it at a
/// time one does the work.
void take_sample(Ticks now, unsigned threads);

/// Over one, five and fifteen minutes.
std::array<std::uint64_t, 3> current();

}  // namespace faultline::load_average
