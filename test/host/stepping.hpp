#pragma once
// Atomic words that let others come in before each access (interleavings.hpp).
//
// A test of a protocol compiles its source once more, in a namespace of its own, with these in the place of
// std::atomic:
//
//   #define std stepping
//   #define faultline faultline::in_steps
//   #include "kernel/mm/tlb.cpp"
//   #undef faultline
//   #undef std
//
// Whatever the source includes must have been included before, but for the protocol's own header, which must
// not. A source that two tests compile needs two namespaces.

#include <atomic>

#include "kernel/lib/panic.hpp"
#include "test/host/interleavings.hpp"

namespace stepping {

using namespace ::std;

/// Of the running test.
inline faultline::sim::Interleavings* orders = nullptr;
/// How many reasons this thread has to take no step: locks that whatever the others could do in between needs
/// as well.
inline thread_local unsigned undivided = 0;
inline void step() {
  if (undivided == 0) orders->step();
}

template <class T>
class atomic {
 public:
  constexpr atomic(T value = {}) : word_(value) {}
  // The order asked for makes no difference: one thread runs at a time.
  T load(memory_order = {}) const { return step(), word_.load(); }
  void store(T value, memory_order = {}) { step(), word_.store(value); }
  T exchange(T value, memory_order = {}) { return step(), word_.exchange(value); }
  T fetch_add(T value, memory_order = {}) { return step(), word_.fetch_add(value); }
  T fetch_sub(T value, memory_order = {}) { return step(), word_.fetch_sub(value); }
  T fetch_or(T value, memory_order = {}) { return step(), word_.fetch_or(value); }
  T fetch_and(T value, memory_order = {}) { return step(), word_.fetch_and(value); }
  bool compare_exchange_strong(T& expected, T desired, memory_order = {}) {
    return step(), word_.compare_exchange_strong(expected, desired);
  }
  bool compare_exchange_weak(T& expected, T desired, memory_order = {}) {
    return compare_exchange_strong(expected, desired);
  }
  /// Whoever gets the word itself does more with it than one access.
  operator ::std::atomic<T>&() { return step(), word_; }
  /// The value, for who waits or checks: no step.
  T peek() const { return word_.load(); }

 private:
  ::std::atomic<T> word_;
};

}  // namespace stepping

namespace faultline::in_steps {
using faultline::panic;  // ASSERT names it
}
