#include "test/host/random/operations.hpp"

namespace faultline::sim {

#define INSTANTIATE(P) template class Sequence<P>
FAULTLINE_PAGERS(INSTANTIATE, ;);
#undef INSTANTIATE

}  // namespace faultline::sim
