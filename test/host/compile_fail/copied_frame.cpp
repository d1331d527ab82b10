// refused: use of deleted function
#include "kernel/mm/frame.hpp"

using namespace faultline;

Frame second_owner(const Frame& frame) {
#ifdef MISTAKE
  return frame;
#else
  return frame.share();
#endif
}
