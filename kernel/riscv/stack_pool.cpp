#include "kernel/riscv/stack_pool.hpp"

#include <utility>

namespace faultline {

void StackPool::change(std::size_t slot, State from, State to, const SpinGuard&) {
  ASSERT(slots_[slot].state == from);
  slots_[slot].state = to;
}

void StackPool::push(Index& list, std::size_t slot, const SpinGuard&) {
  slots_[slot].next = std::exchange(list, static_cast<Index>(slot));
}

std::optional<std::size_t> StackPool::pop(Index& list, const SpinGuard&) {
  if (list == kNone) return std::nullopt;
  const std::size_t slot = list;
  list = slots_[slot].next;
  return slot;
}

void StackPool::add_free(std::size_t slot, State from) {
  SpinGuard guard(lock_);
  change(slot, from, State::Free, guard);
  push(free_, slot, guard);
}

void StackPool::add_slots(std::size_t count) {
  capacity_ = count;
  for (std::size_t slot = count; slot-- > 0;) add_free(slot, State::Absent);
}

Result<StackPool::Stack> StackPool::allocate() {
  std::optional<std::size_t> free;
  {
    SpinGuard guard(lock_);
    if (const auto cached = pop(cached_, guard)) {
      change(*cached, State::Cached, State::Taken, guard);
      cached_count_.store(cached_count_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
      return Stack{*cached, slots_[*cached].generation};
    }
    free = pop(free_, guard);
    if (!free) return failure(KernelError::OutOfMemory);
    change(*free, State::Free, State::Taken, guard);
  }
  const Result<std::uint64_t> generation = mapper_.map(*free);
  if (!generation) {
    add_free(*free, State::Taken);
    return failure(generation.error());
  }
  slots_[*free].generation = *generation;
  return Stack{*free, *generation};
}

void StackPool::release(std::size_t slot) {
  SpinGuard guard(lock_);
  change(slot, State::Taken, State::Cached, guard);
  push(cached_, slot, guard);
  cached_count_.store(cached_count_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

bool StackPool::release_cached() {
  Index first;
  {
    SpinGuard guard(lock_);
    first = std::exchange(cached_, kNone);
    cached_count_.store(0, std::memory_order_relaxed);
    for (Index slot = first; slot != kNone; slot = slots_[slot].next)
      change(slot, State::Cached, State::Leaving, guard);
  }
  if (first == kNone) return false;
  for (Index slot = first; slot != kNone; slot = slots_[slot].next) mapper_.unmap(slot);
  mapper_.fence_all_harts();
  for (Index slot = first; slot != kNone;) {
    const Index next = slots_[slot].next;  // read before somebody else can take the slot
    mapper_.release_frames(slot);
    add_free(slot, State::Leaving);
    slot = next;
  }
  return true;
}

}  // namespace faultline
