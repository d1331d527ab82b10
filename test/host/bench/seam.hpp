#pragma once

namespace faultline::bench {

/// Makes the calling thread act as this hart from now on.
void become_hart(unsigned number);

}  // namespace faultline::bench
