#pragma once
// Small kernel objects. The two functions are a seam: the kernel serves them from slabs over page frames, the
// simulated machine from the host's heap, where it can make any allocation fail and sees every leak.

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "kernel/lib/result.hpp"

namespace faultline {

/// Allocates `bytes` (> 0) with `alignment` (a power of two ≤ 64). Returns null when memory is out. May not
/// sleep.
[[nodiscard]] void* heap_allocate(std::size_t bytes, std::size_t alignment) noexcept;

/// Releases what heap_allocate returned, with the same size and alignment. May not sleep.
void heap_release(void* memory, std::size_t bytes, std::size_t alignment) noexcept;

struct HeapDelete {
  template <class T>
  void operator()(T* object) const noexcept {
    object->~T();
    heap_release(object, sizeof(T), alignof(T));
  }
};

/// Sole owner of a heap object of exactly type T (not of a base class: the size is T's).
template <class T>
using Box = std::unique_ptr<T, HeapDelete>;

/// Constructs a T on the heap. Error: OutOfMemory. T's constructor may not fail.
template <class T, class... Arguments>
[[nodiscard]] Result<Box<T>> make_box(Arguments&&... arguments) {
  void* memory = heap_allocate(sizeof(T), alignof(T));
  if (memory == nullptr) return failure(KernelError::OutOfMemory);
  return Box<T>(::new (memory) T(std::forward<Arguments>(arguments)...));
}

}  // namespace faultline
