#include "test/host/random/operations.hpp"

namespace faultline::sim {

template class Sequence<LazyPager>;
template class Sequence<EagerPager>;

}  // namespace faultline::sim
